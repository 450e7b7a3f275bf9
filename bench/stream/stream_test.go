package stream

import (
	"bufio"
	"os"
	"path/filepath"
	"testing"
)

func TestStreamTellsFreshFromDuplicate(t *testing.T) {
	streams := map[string]Stream{
		"tenth":         Tenth(),
		"half":          {Seed: 3, Every: 2},
		"cold":          {Seed: 5, Every: 100, Among: 2},
		"no duplicates": {Seed: 7},
	}
	for name, s := range streams {
		t.Run(name, func(t *testing.T) {
			const n = 20_000
			ids := make([]ID, n)
			s.Fill(ids, 0)
			seen := make(map[ID]bool)
			for i, id := range ids {
				if got := s.Fresh(int64(i)); got != int64(len(seen)) {
					t.Fatalf("Fresh(%d) = %d, want %d", i, got, len(seen))
				}
				if _, duplicate := s.Number(int64(i)); duplicate != seen[id] {
					t.Fatalf("message %d: duplicate = %v, want %v", i, duplicate, seen[id])
				}
				seen[id] = true
			}
			if m := s.Messages(1000); s.Fresh(m) < 1000 {
				t.Errorf("Messages(1000) = %d carries %d new ids", m, s.Fresh(m))
			}
		})
	}
}

func TestFillStartsAnywhere(t *testing.T) {
	s := Tenth()
	whole, part := make([]ID, 100), make([]ID, 30)
	s.Fill(whole, 0)
	s.Fill(part, 70)
	if [30]ID(part) != [30]ID(whole[70:]) {
		t.Error("messages 70 to 99 differ from those of a run from 0")
	}
}

func TestWriteLinesSumsUniqueLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lines")
	want, err := Tenth().WriteLines(path, 5000)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unique, err := os.Create(path + ".unique")
	if err != nil {
		t.Fatal(err)
	}
	defer unique.Close()
	seen := make(map[string]bool)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if line := lines.Text(); !seen[line] {
			seen[line] = true
			unique.WriteString(line + "\n")
		}
	}
	if _, err := unique.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	got, n, err := Sum(unique)
	if err != nil {
		t.Fatal(err)
	}
	if got != want || n != 4500*LineLength {
		t.Errorf("unique lines: sum %x, %d bytes; want %x, %d", got, n, want, 4500*LineLength)
	}
}
