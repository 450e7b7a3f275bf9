package arena

import "golang.org/x/sys/unix"

// advise asks for huge pages: a look-up in a large table misses the translation
// cache as surely as the data cache. The kernel uses them only where a whole one
// is usable, so a small table stays small.
func advise(all []byte) { _ = unix.Madvise(all, unix.MADV_HUGEPAGE) }

func prefault(b []byte) { _ = unix.Madvise(b, unix.MADV_POPULATE_WRITE) }
