//go:build !race

package unique

const raced = false
