// Package arch keeps the shape of the code: who may import whom, and how large
// a file, a function or a type may grow. It also keeps documents true: the tests,
// files and headings that they name are there, the code that they show is compiled,
// the figures were measured. Its test holds the whole module to the table in table.go
// and the rules in rules.go and documents.go, and names each offender with what to do
// about it.
package arch
