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

// Peers are what a run's machine is told of besides itself.
type Peers struct {
	Libraries map[string]string // their names, by module path
	Programs  []Program
	Others    []Fact
}

// Program is asked for its version by a command.
type Program struct {
	Name    string
	Command []string
}

// Machine tells where a run was made, with what, and beside which versions of
// the peers. dir is where its files lie.
func Machine(ctx context.Context, dir string, peers Peers) []Fact {
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
			if name, ok := peers.Libraries[m.Path]; ok {
				facts = append(facts, Fact{name, m.Version})
			}
		}
	}
	for _, p := range peers.Programs {
		facts = append(facts, Fact{p.Name, version(ctx, p.Command)})
	}
	return append(facts, peers.Others...)
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
