package brokertest

import (
	"fmt"
	"strings"
	"testing"
)

// hexed is a text as strace writes it down.
func hexed(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

func TestTrace(t *testing.T) {
	log, other := hexed("/d/1.log"), hexed("/d/2.log")
	write := `pwrite64(7<` + log + `>, "` + hexed(Mark(5)) + `", 15, 64`
	answer := `write(9<` + hexed("socket:[77]") + `>, "` + hexed("\x00\x00\x00\x04\x00\x00\x00\x05") + `", 8`
	for name, test := range map[string]struct {
		lines []string
		early int
	}{
		"in order":                 {[]string{"1 " + write + ") = 15", "2 fdatasync(7<" + log + ">) = 0", "3 " + answer + ") = 8"}, 0},
		"no sync":                  {[]string{"1 " + write + ") = 15", "3 " + answer + ") = 8"}, 1},
		"answered before":          {[]string{"3 " + answer + ") = 8", "1 " + write + ") = 15", "2 fdatasync(7<" + log + ">) = 0"}, 1},
		"another file":             {[]string{"1 " + write + ") = 15", "2 fdatasync(8<" + other + ">) = 0", "3 " + answer + ") = 8"}, 1},
		"a sync that fails":        {[]string{"1 " + write + ") = 15", "2 fdatasync(7<" + log + ">) = -1 EIO (Input/output error)", "3 " + answer + ") = 8"}, 1},
		"a short write":            {[]string{"1 " + write + ") = 3", "2 fdatasync(7<" + log + ">) = 0", "3 " + answer + ") = 8"}, 1},
		"a sync begun too early":   {[]string{"2 fdatasync(7<" + log + "> <unfinished ...>", "1 " + write + ") = 15", "2 <... fdatasync resumed>) = 0", "3 " + answer + ") = 8"}, 1},
		"a sync that goes on":      {[]string{"1 " + write + ") = 15", "2 fdatasync(7<" + log + "> <unfinished ...>", "3 " + answer + ") = 8", "2 <... fdatasync resumed>) = 0"}, 1},
		"a write that goes on":     {[]string{"1 " + write + " <unfinished ...>", "2 fdatasync(7<" + log + "> <unfinished ...>", "1 <... pwrite64 resumed>) = 15", "2 <... fdatasync resumed>) = 0", "3 " + answer + ") = 8"}, 1},
		"an answer that goes on":   {[]string{"1 " + write + ") = 15", "3 " + answer + " <unfinished ...>", "2 fdatasync(7<" + log + ">) = 0", "3 <... write resumed>) = 8"}, 1},
		"halves that fit together": {[]string{"1 " + write + " <unfinished ...>", "1 <... pwrite64 resumed>) = 15", "2 fdatasync(7<" + log + "> <unfinished ...>", "2 <... fdatasync resumed>) = 0", "3 " + answer + " <unfinished ...>", "3 <... write resumed>) = 8"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			lines := append([]string{"9 +++ exited with 0 +++", "9 --- SIGURG {si_signo=SIGURG} ---"}, test.lines...)
			got, err := Trace(strings.NewReader(strings.Join(lines, "\n")+"\n"), func(c uint32) (uint32, bool) { return c, true })
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Early) != test.early || got.Acks[5] != 1 {
				t.Errorf("%+v, want %d early", got, test.early)
			}
		})
	}
}
