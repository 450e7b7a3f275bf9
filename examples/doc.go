// Package examples answers questions that users ask, one file each, by code to copy: a
// function takes what it needs from outside, such as a connection, and what is inside is
// all that there is to write. The tests run each against the real server.
//
// The list of all examples, also those beside the packages, is docs/examples.md.
package examples
