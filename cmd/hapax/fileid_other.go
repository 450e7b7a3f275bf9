//go:build !unix

package main

import "io/fs"

// fileID is the path where files have no numbers.
func fileID(_ fs.FileInfo, path string) string { return path }
