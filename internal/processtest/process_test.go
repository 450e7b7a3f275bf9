package processtest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// errand is a task.
type errand struct{ Write string }

// TestProcess takes a process through what a test may do to it.
func TestProcess(t *testing.T) {
	for _, how := range []string{"ends", "is killed", "is stopped"} {
		t.Run(how, func(t *testing.T) {
			var task errand
			if mine, other := Task(t, &task); other {
				if mine {
					perform(t, task)
				}
				return
			}
			file := filepath.Join(t.TempDir(), "file")
			p := Start(t, t.Name(), errand{Write: file})
			p.Hear("ready")
			switch how {
			case "is killed":
				p.Kill()
			case "is stopped":
				p.Stop()
				p.Order()
				<-time.After(20 * time.Millisecond)
				if _, err := os.Stat(file); err == nil {
					t.Error("it went on")
				}
				p.Continue()
				p.Hear("written")
				p.End()
			default:
				p.Order()
				p.Hear("written")
				p.End()
			}
			if _, err := os.Stat(file); (err == nil) == (how == "is killed") {
				t.Errorf("its file: %v", err)
			}
		})
	}
}

func perform(t *testing.T, task errand) {
	orders := Orders()
	fmt.Println("ready") // and not said
	Say("ready")
	<-orders
	if err := os.WriteFile(task.Write, nil, 0o600); err != nil {
		t.Error(err)
	}
	Say("written")
}
