package clients

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestKcat: Debian's kcat writes with each codec, reads what it wrote, and goes on
// in a group where it left.
func TestKcat(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("kcat"); err != nil {
		missing(t, "kcat")
	}
	n := start(t)
	n.topic("kcat", 3)
	kcat := func(input string, args ...string) string {
		t.Helper()
		c := exec.Command("kcat", append([]string{"-b", n.address, "-X", "heartbeat.interval.ms=200"}, args...)...)
		c.Stdin = strings.NewReader(input)
		var complaints output
		c.Stderr = &complaints
		out, err := c.Output()
		if err != nil {
			t.Fatalf("kcat %s: %v\n%s", strings.Join(args, " "), err, complaints.String())
		}
		return string(out)
	}
	const each = 500
	codecs := []string{"none", "gzip", "snappy", "lz4", "zstd"}
	for i, codec := range codecs {
		var lines strings.Builder
		for number := i * each; number < (i+1)*each; number++ {
			fmt.Fprintf(&lines, "k%d:%d\n", number%10, number)
		}
		kcat(lines.String(), "-P", "-t", "kcat", "-z", codec, "-K", ":", "-H", "codec="+codec, "-X", "enable.idempotence=true")
	}

	written := map[int]record{}
	for _, r := range stored(n, "kcat", codecs, len(codecs)*each) {
		if want := codecs[r.number/each]; r.codec != want || r.key != fmt.Sprint("k", r.number%10) {
			t.Fatalf("%+v was written with %s", r, want)
		}
		written[r.number] = r
	}
	const format = "read %p %o %s %k %h\n"
	read := strings.ReplaceAll(kcat("", "-C", "-t", "kcat", "-e", "-q", "-f", format), "codec=", "")
	checkRead(t, "kcat", parse(t, "read", strings.Split(read, "\n")), written)

	times := map[int]int{}
	for range codecs {
		told := kcat("", "-G", "readers", "-q", "-c", fmt.Sprint(each), "-X", "auto.offset.reset=earliest", "-f", format, "kcat")
		for _, r := range parse(t, "read", strings.Split(told, "\n")) {
			times[r.number]++
		}
	}
	for number := range written {
		if times[number] != 1 {
			t.Errorf("the group read record %d %d times", number, times[number])
		}
	}
	if listed := kcat("", "-L", "-t", "kcat"); !strings.Contains(listed, `topic "kcat" with 3 partitions`) {
		t.Errorf("kcat -L:\n%s", listed)
	}
}
