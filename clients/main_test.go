package clients

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// apache has Apache Kafka examined in place of hapax serve, which tells whether a
// failure is the client's. With it, TestTools records what Kafka answers.
var apache = flag.Bool("apache", false, "examine Apache Kafka, and record what its tools say")

// hapax is the binary under test, and programs the folder of the clients written in
// Go. Set by TestMain.
var hapax, programs string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "hapax-clients-")
	if err == nil {
		hapax, programs = filepath.Join(dir, "hapax"), dir
		err = build("..", hapax, "./cmd/hapax")
	}
	for _, name := range []string{"franz", "sarama", "kafkago"} {
		if err == nil {
			err = build(".", filepath.Join(dir, name), "./"+name)
		}
	}
	status := 1
	if err == nil {
		status = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	_ = os.RemoveAll(dir) // in the system's temporary folder
	os.Exit(status)
}

func build(dir, to, pkg string) error {
	c := exec.Command("go", "build", "-o", to, pkg)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
