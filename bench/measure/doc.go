// Package measure runs contestants beside one another and counts what they
// use: time, latencies, memory of this process and of others, disk.
package measure
