package clients

import (
	"os/exec"
	"testing"
)

// TestStreams: Kafka Streams counts words exactly once (exactly_once_v2), with a
// repartition and a store that it restores from its changelog, while instances of
// it and the broker are killed. Each count of each word is written once.
func TestStreams(t *testing.T) {
	t.Parallel()
	require(t, installed+"/java/classes/done")
	n := start(t)
	n.topic("words", partitions)
	n.topic("counts", partitions)
	g := newGathering(t, n, "words")
	g.readCommitted(n, "counts")
	run := func(name string) *member {
		java := append(javaCommand("Streams"), n.address, "counting", "words", "counts", t.TempDir())
		return g.watch(name, launch(t, name, exec.Command(java[0], java[1:]...)))
	}
	g.keepWriting()
	first, second := run("first"), run("second")
	g.await("both run", func() bool { return first.told["running"] > 0 && second.told["running"] > 0 })
	g.awaitMore(500)
	first.kill()
	g.awaitMore(500)
	first = run("first again")
	g.await("the killed one runs again", func() bool { return first.told["running"] > 0 })
	g.awaitMore(500)
	n.kill()
	g.awaitMore(500)
	g.leave(second)
	g.awaitMore(500)
	g.stopWriting()
	g.await("all is counted", func() bool { return len(g.handled) == g.written })
	g.leave(first)
	for count, times := range g.handled {
		if times != 1 {
			t.Errorf("count %d of word %d came out %d times", count/20+1, count%20, times)
		}
	}
}
