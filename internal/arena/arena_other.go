//go:build unix && !linux

package arena

func advise([]byte) {}

func prefault([]byte) {}
