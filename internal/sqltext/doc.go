// Package sqltext holds the schemas and statements of marks, claims and outboxes in SQL databases, and
// what the codes of their errors mean. It is text and tables only: it opens no
// connection and imports no driver.
package sqltext
