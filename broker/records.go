package broker

import (
	"fmt"

	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/internal/wal"
)

// records reads batches where they stand in the log.
type records struct{ wal *wal.Log }

// load reads extents into memory.
func (rs *records) load(extents []partition.Extent) ([]byte, error) {
	size := 0
	for _, e := range extents {
		size += int(e.Length)
	}
	records := make([]byte, 0, size)
	for len(extents) > 0 {
		file, err := rs.wal.File(extents[0].File)
		if err != nil {
			return nil, err
		}
		n := 0
		for ; n < len(extents) && extents[n].File == extents[0].File && err == nil; n++ {
			e := extents[n]
			records = records[:len(records)+int(e.Length)]
			_, err = file.ReadAt(records[len(records)-int(e.Length):], e.At)
		}
		file.Release()
		if err != nil {
			return nil, fmt.Errorf("read records: %w", err)
		}
		extents = extents[n:]
	}
	return records, nil
}
