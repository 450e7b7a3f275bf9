//go:build linux || darwin || freebsd

package vfs_test

import "syscall"

func fullNumbers() []error { return []error{syscall.EDQUOT} }
