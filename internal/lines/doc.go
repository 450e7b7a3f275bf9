// Package lines reads lines in bulk: one goroutine fills chunks of whole lines,
// several work on them at once, and the caller gets them back in order.
//
//	inputs ──read──▶ chunk ──▶ work ┐
//	                 chunk ──▶ work ┼──Next──▶ the caller, in order ──Release──▶ read
//	                 chunk ──▶ work ┘
//
// A fixed number of chunks goes round, so memory is bounded whatever the input
// is. A line is what ends in "\n" (which is not part of it; a "\r" before it is)
// or at the end of its input, and is never copied but at a chunk's edge.
package lines
