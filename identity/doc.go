// Package identity names messages.
package identity
