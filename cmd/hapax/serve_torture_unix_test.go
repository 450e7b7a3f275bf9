//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/internal/brokertest"
)

// TestServeTorture tortures hapax serve for the better part of a minute, and for a
// moment on a disk that fills up.
func TestServeTorture(t *testing.T) {
	t.Parallel()
	torture(t, brokertest.Course{Seed: 1, Length: 40 * time.Second}, hapaxBroker(t, "hapax", nil))
	torture(t, brokertest.Course{Seed: 2, Length: 10 * time.Second}, hapaxBroker(t, "hapax", newDisk(t)))
}

// TestTortureServe does so for as long as HAPAX_TORTURE says.
func TestTortureServe(t *testing.T) {
	limit := tortureTime(t)
	var all brokertest.Report
	for began := time.Now(); time.Since(began) < limit && !t.Failed(); {
		var disk *brokertest.Disk
		if time.Now().UnixNano()%3 == 0 {
			disk = newDisk(t)
		}
		c := brokertest.Course{Seed: uint64(time.Now().UnixNano()), Length: time.Minute}
		all = all.Add(torture(t, c, hapaxBroker(t, "hapax", disk)))
	}
	t.Logf("in all, %d kills: %v", all.Kills(), all)
}

// tortureTime is what HAPAX_TORTURE says.
func tortureTime(t *testing.T) time.Duration {
	t.Helper()
	limit, err := time.ParseDuration(os.Getenv("HAPAX_TORTURE"))
	if err != nil {
		t.Skip("set HAPAX_TORTURE to a length of time")
	}
	return limit
}

func torture(t *testing.T, c brokertest.Course, b brokertest.Broker) brokertest.Report {
	t.Helper()
	report, err := c.Run(t.Context(), b)
	t.Log(report)
	if err != nil {
		t.Errorf("seed %d: %v", c.Seed, err)
	}
	if len(report.Findings) > 0 {
		t.Error("the broker broke its promises")
	}
	return report
}

// newDisk is a disk that can be filled, or nil where that cannot be had.
func newDisk(t *testing.T) *brokertest.Disk {
	t.Helper()
	d, err := brokertest.NewDisk(t.TempDir(), 1<<30)
	if errors.Is(err, brokertest.ErrNoDisk) {
		t.Logf("no full disk: %v", err)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// hapaxBroker is hapax serve, on a disk of its own if there is one.
func hapaxBroker(t *testing.T, hapax string, disk *brokertest.Disk) brokertest.Broker {
	t.Helper()
	dir := t.TempDir()
	if disk != nil {
		dir = disk.Dir
	}
	return brokertest.Broker{Disk: disk, Command: func(at brokertest.Addresses) *exec.Cmd {
		c := exec.Command(hapax, "serve", "--data", filepath.Join(dir, "data"), "--http", "",
			"--set", "listeners=FAULTY://"+at.Proxied+",DIRECT://"+at.Direct,
			"--set", "advertised.listeners=FAULTY://"+at.Advertise+",DIRECT://"+at.Direct,
			"--set", "listener.security.protocol.map=FAULTY:PLAINTEXT,DIRECT:PLAINTEXT",
			"--set", "hapax.log.file.bytes=262144,log.cleaner.backoff.ms=100",
			"--set", "group.initial.rebalance.delay.ms=0,group.min.session.timeout.ms=100",
			"--set", "group.consumer.heartbeat.interval.ms=100,group.consumer.min.heartbeat.interval.ms=100,"+
				"group.consumer.session.timeout.ms=2000,group.consumer.min.session.timeout.ms=2000")
		c.Env = append(os.Environ(), "GORACE="+noLinger)
		return c
	}}
}
