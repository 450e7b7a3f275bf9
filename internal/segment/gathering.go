package segment

import "sync"

// gathering is what Append and the stages behind it share: the frames that gather,
// and how far each stage has come.
type gathering struct {
	mu      sync.Mutex // guards what follows; taken after io
	buf     []byte     // frames that no flush has taken
	end     int64      // where the next frame will begin
	flushed int64
	synced  int64
	sealing bool // no more frames
	closed  bool
	err     error // the first failure

	flushing []byte // frames that a flush has taken, and which begin at flushed
}

// Size returns the offset of the next frame: what the file will hold once
// flushed, without the zeros written ahead.
func (g *gathering) Size() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.end
}

// Flushed returns the offset before which all is with the operating system.
func (g *gathering) Flushed() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.flushed
}

// Synced returns the offset before which all is durable.
func (g *gathering) Synced() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.synced
}

// Buffered returns the bytes of frames in memory that no flush has taken.
func (g *gathering) Buffered() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.buf)
}

// Err returns the error that failed the writer, or nil.
func (g *gathering) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *gathering) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}
