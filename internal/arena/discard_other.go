//go:build !linux

package arena

func discard([]byte) {} // it goes with the reservation
