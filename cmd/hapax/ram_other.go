//go:build !linux

package main

// ram is a guess at the memory of the machine in bytes.
func ram() int64 { return 8 << 30 }
