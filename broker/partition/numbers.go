package partition

import "encoding/binary"

// numbers takes varints off a payload. After the first that is not there, or is too
// large for an offset, bad is set and it gives zeros.
type numbers struct {
	b   []byte
	bad bool
}

func (n *numbers) uvarint() int64 {
	v, size := binary.Uvarint(n.b)
	if size <= 0 || v > 1<<62 {
		n.bad = true
		return 0
	}
	n.b = n.b[size:]
	return int64(v)
}

func (n *numbers) varint() int64 {
	v, size := binary.Varint(n.b)
	if size <= 0 {
		n.bad = true
		return 0
	}
	n.b = n.b[size:]
	return v
}
