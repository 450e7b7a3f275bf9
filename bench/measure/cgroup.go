package measure

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Cgroup is a control group that limits the memory of the processes in it,
// their page cache included. It knows versions 1 and 2 and needs root.
type Cgroup struct {
	Dir string // a process enters by Enter(Dir)
	v2  bool
}

const cgroups = "/sys/fs/cgroup"

// NewCgroup makes a group of that name with at most limit bytes and no swap.
func NewCgroup(name string, limit int64) (*Cgroup, error) {
	g := &Cgroup{Dir: filepath.Join(cgroups, "memory", name)}
	settings := [][2]string{{"memory.limit_in_bytes", strconv.FormatInt(limit, 10)}, {"memory.swappiness", "0"}}
	if controllers, err := os.ReadFile(filepath.Join(cgroups, "cgroup.controllers")); err == nil {
		if !strings.Contains(string(controllers), "memory") {
			return nil, errors.New("make cgroup: no memory controller")
		}
		g.v2 = true
		g.Dir = filepath.Join(cgroups, name)
		settings = [][2]string{{"memory.max", strconv.FormatInt(limit, 10)}, {"memory.swap.max", "0"}}
		// On most systems it is already on; if it can't be, the limit below fails.
		_ = os.WriteFile(filepath.Join(cgroups, "cgroup.subtree_control"), []byte("+memory"), 0)
	}
	if err := os.Mkdir(g.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make cgroup: %w", err)
	}
	for i, s := range settings {
		err := os.WriteFile(filepath.Join(g.Dir, s[0]), []byte(s[1]), 0)
		if err != nil && i == 0 { // a machine without swap may lack the second
			return nil, errors.Join(fmt.Errorf("limit cgroup: %w", err), g.Close())
		}
	}
	return g, nil
}

// Enter moves this process into the group at dir.
func Enter(dir string) error {
	pid := strconv.Itoa(os.Getpid())
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(pid), 0); err != nil {
		return fmt.Errorf("enter cgroup: %w", err)
	}
	return nil
}

// Peak returns the most bytes that the group had at once, page cache included.
func (g *Cgroup) Peak() (int64, error) {
	file := "memory.max_usage_in_bytes"
	if g.v2 {
		file = "memory.peak"
	}
	content, err := os.ReadFile(filepath.Join(g.Dir, file))
	if err != nil {
		return 0, fmt.Errorf("read cgroup's peak: %w", err)
	}
	return strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
}

// Close removes the group, which must be empty.
func (g *Cgroup) Close() error { return os.Remove(g.Dir) }
