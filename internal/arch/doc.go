// Package arch keeps the shape of the code: who may import whom, and how large
// a file, a function or a type may grow; and that documents name tests, files and
// headings that are there. Its test holds the whole module to the
// table in table.go and the rules in rules.go, and names each offender with
// what to do about it.
package arch
