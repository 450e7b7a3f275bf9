//go:build !race

package identity

const racing = false
