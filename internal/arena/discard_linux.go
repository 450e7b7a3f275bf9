package arena

import "golang.org/x/sys/unix"

func discard(b []byte) { _ = unix.Madvise(b, unix.MADV_DONTNEED) }
