package report

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine tells where a run was made, with what, and beside which versions of
// the peers. dir is where its files lie.
func Machine(ctx context.Context, dir string) []Fact {
	facts := []Fact{
		{"date", time.Now().UTC().Format(time.DateOnly)},
		{"processor", fmt.Sprintf("%s, %d cores", field("/proc/cpuinfo", "model name"), runtime.NumCPU())},
		{"memory", memory()},
		{"huge pages", firstLine("/sys/kernel/mm/transparent_hugepage/enabled")},
		{"kernel", strings.TrimSpace(firstLine("/proc/sys/kernel/osrelease"))},
		{"file system", fileSystem(dir)},
		{"Go", runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH},
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if name, ok := libraries()[m.Path]; ok {
				facts = append(facts, Fact{name, m.Version})
			}
		}
	}
	for _, p := range programs() {
		facts = append(facts, Fact{p.name, version(ctx, p.command)})
	}
	return facts
}

func libraries() map[string]string {
	return map[string]string{
		"github.com/cockroachdb/pebble/v2": "Pebble",
		"github.com/mattn/go-sqlite3":      "SQLite (go-sqlite3)",
		"go.etcd.io/bbolt":                 "bbolt",
		"github.com/dchest/siphash":        "siphash",
	}
}

type program struct {
	name    string
	command []string
}

func programs() []program {
	return []program{
		{"Redis", []string{"redis-server", "--version"}},
		{"RocksDB", []string{"dpkg-query", "-W", "librocksdb-dev"}},
		{"huniq", []string{"huniq", "--version"}},
		{"mawk", []string{"mawk", "-W", "version"}},
	}
}

// version is the first line that a program says of itself.
func version(ctx context.Context, command []string) string {
	path, err := Find(command[0])
	if err != nil {
		return "not installed"
	}
	output, err := exec.CommandContext(ctx, path, command[1:]...).CombinedOutput()
	line, _, _ := strings.Cut(string(output), "\n")
	if err != nil && line == "" {
		return "not installed"
	}
	return strings.Join(strings.Fields(line), " ")
}

// Find looks a program up on the path and where cargo installs.
func Find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	cargo := os.ExpandEnv("$HOME/.cargo/bin/") + name
	if _, statErr := os.Stat(cargo); statErr == nil {
		return cargo, nil
	}
	return "", err
}

func firstLine(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(content), "\n")
	return line
}

// field returns the value of the first "name : value" line of a file.
func field(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer func() { _ = f.Close() }() // it is only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func memory() string {
	var kilobytes int64
	if _, err := fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%d kB", &kilobytes); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f GiB", float64(kilobytes)/(1<<20))
}

func fileSystem(dir string) string {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "unknown"
	}
	name, ok := map[int64]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
		unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs",
	}[s.Type]
	if !ok {
		name = fmt.Sprintf("%#x", s.Type)
	}
	return fmt.Sprintf("%s, %d GiB free", name, int64(s.Bavail)*s.Bsize>>30)
}
