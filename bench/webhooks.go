package main

import (
	"fmt"
	"os"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
)

// webhooks measures hapax uniq on a stream of webhook JSON, in bytes of input
// a second of processor time.
func webhooks(b *bench) error {
	hapax, err := hapaxBinary(b)
	if err != nil {
		return err
	}
	input := b.path("hooks.ndjson")
	size := b.size(1_000_000_000)
	if err := measure.Go(b.ctx, "run", "./internal/tools/hookstream", "-out", input, "-bytes", fmt.Sprint(size), "-seed", "1"); err != nil {
		return err
	}
	info, err := os.Stat(input)
	if err != nil {
		return err
	}
	const id = "json:delivery"
	commands := []command{
		{name: "--id " + id + " --conflicts off", program: hapax, args: []string{"uniq", "--id", id, "--conflicts", "off", input}},
		{name: "--id " + id + ", with digests", program: hapax, args: []string{"uniq", "--id", id, input}},
		{name: "--id content", program: hapax, args: []string{"uniq", "--id", "content", input}},
	}
	bounds := []float64{500, 150, 150}
	_, _, cpus, err := race(b, input, commands)
	if err != nil {
		return err
	}
	for i, c := range commands {
		err := b.add(report.Line{
			Work:  fmt.Sprintf("hapax uniq %s, %d MB of webhook JSON", c.name, info.Size()/1e6),
			Ours:  report.Of(float64(info.Size())/1e6/measure.Median(cpus[i]), "MB/s a core"),
			Bound: report.AtLeast(bounds[i], "MB/s a core"),
		})
		if err != nil {
			return err
		}
	}
	return nil
}
