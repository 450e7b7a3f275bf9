//go:build !race

package ledgertest

// sampled is how many bytes of a file are flipped if not all are.
const sampled = 300
