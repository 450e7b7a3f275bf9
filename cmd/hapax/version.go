package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(w *world) error {
	_, err := fmt.Fprintln(w.stdout, version())
	return err
}

// version is that of the module, as the go command stamped it.
func version() string {
	module := "unknown"
	if build, ok := debug.ReadBuildInfo(); ok {
		module = build.Main.Version
	}
	return fmt.Sprintf("hapax %s %s %s/%s", module, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
