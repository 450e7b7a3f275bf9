package vfs_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hapaxmq/hapax/internal/vfs"
)

const seeds = 300

// contents is what a disk holds, name by name.
func contents(t testing.TB, m *vfs.Mem, dir string) map[string]string {
	t.Helper()
	names, err := m.List(dir)
	must(t, err)
	all := map[string]string{}
	for _, name := range names {
		all[name] = get(t, m, dir+"/"+name)
	}
	return all
}

// outcomes returns every disk that many power losses left, and how often.
func outcomes(t testing.TB, m *vfs.Mem, dir string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for seed := range int64(seeds) {
		all := contents(t, m.PowerLoss(rand.New(rand.NewSource(seed))), dir)
		var words []string
		for _, name := range slices.Sorted(maps.Keys(all)) {
			words = append(words, name+"="+all[name])
		}
		seen[strings.Join(words, " ")]++
	}
	return seen
}

// wantOutcomes checks that exactly these disks can be found.
func wantOutcomes(t *testing.T, m *vfs.Mem, want ...string) {
	t.Helper()
	got := outcomes(t, m, "/")
	slices.Sort(want)
	if found := slices.Sorted(maps.Keys(got)); !slices.Equal(found, want) {
		t.Errorf("disks found\n%q\nwant\n%q", found, want)
	}
}

// synced makes a file whose content and name are durable.
func synced(t testing.TB, m *vfs.Mem, name, content string) vfs.File {
	t.Helper()
	f, err := m.Create(name)
	must(t, err)
	write(t, f, content, 0)
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	return f
}

func write(t testing.TB, f vfs.File, content string, off int64) {
	t.Helper()
	_, err := f.WriteAt([]byte(content), off)
	must(t, err)
}

func TestPowerLossOfNames(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    func(t *testing.T, m *vfs.Mem)
		disks []string
	}{
		{"create", func(t *testing.T, m *vfs.Mem) {
			f, err := m.Create("/a")
			must(t, err)
			must(t, f.Sync())
		}, []string{"", "a="}},
		{"create, synced", func(t *testing.T, m *vfs.Mem) {
			synced(t, m, "/a", "1")
		}, []string{"a=1"}},
		{"remove", func(t *testing.T, m *vfs.Mem) {
			synced(t, m, "/a", "1")
			must(t, m.Remove("/a"))
		}, []string{"", "a=1"}},
		{"remove, synced", func(t *testing.T, m *vfs.Mem) {
			synced(t, m, "/a", "1")
			must(t, m.Remove("/a"))
			must(t, m.SyncDir("/"))
		}, []string{""}},
		{"rename", func(t *testing.T, m *vfs.Mem) {
			synced(t, m, "/a", "1")
			must(t, m.Rename("/a", "/b"))
		}, []string{"a=1", "b=1"}},
		{"rename over", func(t *testing.T, m *vfs.Mem) {
			synced(t, m, "/a", "1")
			synced(t, m, "/b", "2")
			must(t, m.Rename("/a", "/b"))
		}, []string{"a=1 b=2", "b=1"}},
		{"create and rename", func(t *testing.T, m *vfs.Mem) {
			f, err := m.Create("/a")
			must(t, err)
			must(t, f.Sync())
			must(t, m.Rename("/a", "/b"))
		}, []string{"", "a=", "b="}},
		{"remove and create", func(t *testing.T, m *vfs.Mem) {
			synced(t, m, "/a", "1")
			must(t, m.Remove("/a"))
			_, err := m.Create("/a")
			must(t, err)
		}, []string{"", "a=", "a=1"}},
		{"two by themselves", func(t *testing.T, m *vfs.Mem) {
			put(t, m, "/a", "")
			put(t, m, "/b", "")
		}, []string{"", "a=", "a= b=", "b="}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := vfs.NewMem()
			c.do(t, m)
			wantOutcomes(t, m, c.disks...)
			wantOutcomes(t, m.KillCopy(), c.disks...)
		})
	}
}

// Syncing one directory brings along what the change of names builds on, and
// leaves the others alone.
func TestSyncDirOfOneDirectory(t *testing.T) {
	m := vfs.NewMem()
	must(t, m.MkdirAll("/a"))
	must(t, m.MkdirAll("/b"))
	put(t, m, "/a/x", "")
	put(t, m, "/a/y", "")
	must(t, m.Rename("/a/x", "/b/x"))
	must(t, m.SyncDir("/b"))
	for seed := range int64(seeds) {
		after := m.PowerLoss(rand.New(rand.NewSource(seed)))
		if _, err := after.Stat("/b/x"); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		_, err := after.Stat("/a/x")
		wantErr(t, "old name", err, fs.ErrNotExist)
	}
	if names, _ := m.PowerLoss(nil).List("/a"); len(names) != 0 {
		t.Errorf("names of the directory that was not synced: %v", names)
	}
}

func TestPowerLossOfBytes(t *testing.T) {
	m := vfs.NewMem()
	f := synced(t, m, "/f", strings.Repeat("o", 1024))
	write(t, f, strings.Repeat("n", 512), 0)
	write(t, f, strings.Repeat("N", 512), 512)

	first, second := map[string]bool{}, map[string]bool{}
	torn := false
	for seed := range int64(seeds) {
		got := get(t, m.PowerLoss(rand.New(rand.NewSource(seed))), "/f")
		if len(got) != 1024 {
			t.Fatalf("seed %d: %d bytes", seed, len(got))
		}
		first[got[:1]+got[511:512]] = true
		second[got[512:513]+got[1023:]] = true
		torn = torn || strings.Contains(got[:512], "no") || strings.Contains(got[:512], "on")
		if strings.Trim(got[:512], "on") != "" || strings.Trim(got[512:], "oN") != "" {
			t.Fatalf("seed %d: bytes that nobody wrote", seed)
		}
	}
	for _, want := range []string{"oo", "nn", "on", "no"} {
		if !first[want] {
			t.Errorf("no disk has a first sector like %s", want)
		}
		if want = strings.ReplaceAll(want, "n", "N"); !second[want] {
			t.Errorf("no disk has a second sector like %s", want)
		}
	}
	if !torn {
		t.Error("no sector is torn")
	}
	if got := get(t, m.PowerLoss(nil), "/f"); strings.Trim(got, "o") != "" {
		t.Error("the strictest loss kept bytes that were not synced")
	}
	if got := get(t, m.KillCopy(), "/f"); strings.Trim(got[:512], "n") != "" {
		t.Error("kill lost written bytes")
	}
}

// A sector that was written twice may hold what it held in between.
func TestPowerLossOfVersions(t *testing.T) {
	m := vfs.NewMem()
	f := synced(t, m, "/f", "0")
	for i := range 30 {
		write(t, f, fmt.Sprint((i+1)%10), 0)
	}
	seen := outcomes(t, m, "/")
	if seen["f=0"] == 0 || seen["f=9"] == 0 || seen["f=8"] == 0 {
		t.Errorf("disks found: %v", seen)
	}
}

func TestPowerLossOfSizes(t *testing.T) {
	m := vfs.NewMem()
	f := synced(t, m, "/f", "0123456789")
	write(t, f, strings.Repeat("x", 2000), 10)
	sizes := map[int]bool{}
	for seed := range int64(seeds) {
		got := get(t, m.PowerLoss(rand.New(rand.NewSource(seed))), "/f")
		sizes[len(got)] = true
		if len(got) < 10 || got[:10] != "0123456789" {
			t.Fatalf("seed %d: synced bytes are lost", seed)
		}
		if strings.Trim(got[10:], "x\x00") != "" {
			t.Fatalf("seed %d: bytes that nobody wrote", seed)
		}
	}
	if !sizes[10] || !sizes[2010] || len(sizes) < 20 {
		t.Errorf("%d sizes found", len(sizes))
	}

	must(t, f.Sync())
	must(t, f.Truncate(5))
	least, most := 1<<20, 0
	for seed := range int64(seeds) {
		got := get(t, m.PowerLoss(rand.New(rand.NewSource(seed))), "/f")
		least, most = min(least, len(got)), max(most, len(got))
	}
	if least != 5 || most <= 1000 {
		t.Errorf("sizes after a cut: %d to %d", least, most)
	}
	must(t, f.Sync())
	wantOutcomes(t, m, "f=01234")
}

// Whatever is done, what was synced and not touched since is there, and the
// same seed gives the same disk.
func TestPowerLossKeepsWhatWasSynced(t *testing.T) {
	const size = 8 << 10
	for seed := range int64(100) {
		rng := rand.New(rand.NewSource(seed))
		m := vfs.NewMem()
		f := synced(t, m, "/f", "")
		now, safe := make([]byte, size), make([]byte, size)
		touched := make([]bool, size)
		for range 40 {
			if rng.Intn(8) == 0 {
				must(t, f.Sync())
				copy(safe, now)
				clear(touched)
				continue
			}
			from := rng.Intn(size - 1)
			to := from + 1 + rng.Intn(min(1500, size-from))
			b := make([]byte, to-from)
			rng.Read(b)
			write(t, f, string(b), int64(from))
			copy(now[from:], b)
			for i := from; i < to; i++ {
				touched[i] = true
			}
		}
		if got := get(t, m.KillCopy(), "/f"); !bytes.Equal([]byte(got), now[:len(got)]) {
			t.Fatalf("seed %d: kill lost written bytes", seed)
		}
		if got := get(t, m.PowerLoss(nil), "/f"); !bytes.Equal([]byte(got), safe[:len(got)]) {
			t.Fatalf("seed %d: the strictest loss is not what was synced", seed)
		}
		got := get(t, m.PowerLoss(rand.New(rand.NewSource(seed))), "/f")
		for i := range got {
			if !touched[i] && got[i] != safe[i] {
				t.Fatalf("seed %d: byte %d is lost", seed, i)
			}
		}
		if again := get(t, m.KillCopy().PowerLoss(rand.New(rand.NewSource(seed))), "/f"); again != got {
			t.Fatalf("seed %d: another disk the second time", seed)
		}
	}
}

func TestCopiesAreApart(t *testing.T) {
	m := vfs.NewMem()
	f := synced(t, m, "/f", "before")
	lock, err := m.Lock("/LOCK")
	must(t, err)
	defer lock.Close()
	for name, c := range map[string]*vfs.Mem{"kill": m.KillCopy(), "power": m.PowerLoss(nil)} {
		write(t, f, "after!", 0)
		if got := get(t, c, "/f"); got != "before" {
			t.Errorf("%s: the copy changed to %q", name, got)
		}
		if _, err := c.Lock("/LOCK"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		write(t, f, "before", 0)
	}
}

func TestCapacity(t *testing.T) {
	m := vfs.NewMem()
	m.SetCapacity(100)
	put(t, m, "/a", strings.Repeat("a", 60))
	f, err := m.Create("/b")
	must(t, err)
	n, err := f.WriteAt(make([]byte, 50), 0)
	wantErr(t, "write to a full disk", err, syscall.ENOSPC)
	if n != 40 {
		t.Errorf("%d bytes written, want the 40 that fit", n)
	}
	wantErr(t, "extend on a full disk", f.Truncate(41), syscall.ENOSPC)
	if free, _ := m.Free("/"); free != 0 {
		t.Errorf("%d bytes free", free)
	}
	write(t, f, "again", 0)
	must(t, m.Remove("/a"))
	if free, _ := m.Free("/"); free != 60 {
		t.Errorf("%d bytes free", free)
	}
	must(t, f.Truncate(100))
	m.SetCapacity(0)
	must(t, f.Truncate(1000))
}
