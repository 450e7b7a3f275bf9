package arena

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

var pageSize = os.Getpagesize()

func reserve(n int) ([]byte, error) {
	p, err := windows.VirtualAlloc(0, uintptr(n), windows.MEM_RESERVE, windows.PAGE_NOACCESS)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(unsafe.Add(nil, p)), n), nil
}

func commit(b []byte) error {
	_, err := windows.VirtualAlloc(uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), windows.MEM_COMMIT, windows.PAGE_READWRITE)
	return err
}

func prefault([]byte) {}

func release(all []byte) error {
	return windows.VirtualFree(uintptr(unsafe.Pointer(&all[0])), 0, windows.MEM_RELEASE)
}
