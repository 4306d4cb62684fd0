package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"time"

	"freshet/cmd/freshet/bench"
)

func init() {
	register(command{
		name:    "bench",
		summary: "measure a relay under load",
		details: `Opens connections x streams subscribers, publishes events at a rate that does not wait for the relay,
and checks that every subscriber gets every event once and in order. Prints deliveries a second and
latencies; with -pid, also the relay's CPU a delivery and its memory a subscriber.

  freshet bench                                                 # 100 subscribers over HTTP/1.1
  freshet bench -url https://127.0.0.1:8443 -insecure -connections 10 -streams 1000
  freshet bench -connections 10000 -pid $(pidof freshet) -json
  freshet bench -connections 200 -pair -pid $(pidof freshet)    # gzip against identity, on one relay at one time

-suite starts relays of its own and prints the table of figures that freshet must reach, beside the
kernel's own cost of the same bytes. -cluster starts three relays that are a cluster, and prints how long
a subscriber waits for the next event when one of them is killed or stopped, and what a second copy of
each event costs its publisher.`,
		define: defineBench,
	})
}

func defineBench(flags *flag.FlagSet) action {
	var load bench.Load
	flags.StringVar(&load.URL, "url", "http://127.0.0.1:8080", "the relay; https for TLS")
	flags.StringVar(&load.PublishURL, "publish-url", "", "publish to this relay instead")
	flags.StringVar(&load.Protocol, "proto", "", "h1, h2 (over TLS), h2c or h3; default h1, with https h2")
	flags.IntVar(&load.Connections, "connections", 100, "connections to open")
	flags.IntVar(&load.Streams, "streams", 1, "streams on each connection (not with h1)")
	flags.IntVar(&load.Topics, "topics", 1, "topics to deal the streams to")
	flags.Float64Var(&load.Rate, "rate", 20, "events a second, over all topics")
	flags.IntVar(&load.Burst, "burst", 1, "events that a topic gets together")
	flags.IntVar(&load.Size, "size", 200, "bytes of an event's data")
	flags.DurationVar(&load.Duration, "duration", 10*time.Second, "how long to measure")
	flags.DurationVar(&load.Warmup, "warmup", time.Second, "how long to publish before")
	flags.DurationVar(&load.Idle, "idle", 0, "how long to hold the streams before anything is published")
	flags.IntVar(&load.Replay, "replay", 0, "publish so many events first and measure their replay to all streams")
	flags.BoolVar(&load.Gzip, "gzip", false, "ask for compressed streams; some are decoded and checked")
	flags.BoolVar(&load.Pair, "pair", false, "have every other stream compressed, publish to the two halves in turn, and tell them apart")
	flags.BoolVar(&load.Lifelike, "lifelike", false, "fill events with text like that of a match, not with one letter")
	flags.IntVar(&load.Sources, "sources", 0, "loopback addresses to connect from; default: as many as the ports of each need")
	flags.IntVar(&load.ServerPID, "pid", 0, "the relay's process, to report its CPU and memory")
	flags.StringVar(&load.AdminURL, "admin-url", "", "the relay's admin listener, to collect its garbage and report its heap")
	flags.BoolVar(&load.Insecure, "insecure", false, "take any certificate")
	flags.BoolFunc("h3", "the same as -proto h3", func(string) error {
		load.Protocol = "h3"
		return nil
	})
	asJSON := flags.Bool("json", false, "print the result as JSON")
	suite := flags.Bool("suite", false, "start relays and print the table of figures")
	cluster := flags.Bool("cluster", false, "start a cluster, have its relays fail, and print how long nothing came")
	rounds := flags.Int("rounds", 20, "with -cluster: failures of each kind")
	filter := flags.String("case", "", "with -suite: only the cases whose name contains this")
	kernelWriter := flags.String("kernel-writer", "", "used by -suite: be the process that measures the kernel's writes")
	plainHTTP3 := flags.Bool("plain-http3", false, "used by -suite: be the server that HTTP/3 is compared with")
	return func(ctx context.Context, t *terminal, args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		if *plainHTTP3 {
			return bench.ServePlainHTTP3(t.stdin, t.stdout)
		}
		if *kernelWriter != "" {
			return bench.ServeKernelWriter(*kernelWriter, t.stdout)
		}
		if *suite || *cluster {
			program, err := os.Executable()
			if err != nil {
				return err
			}
			if *cluster {
				return bench.Cluster{Program: program, Rounds: *rounds, Out: t.stdout, Log: t.stderr}.Run(ctx)
			}
			return bench.Suite{Program: program, Each: load.Duration, Filter: *filter, Out: t.stdout, Log: t.stderr}.Run(ctx)
		}
		load.Token = t.variable("FRESHET_TOKEN")
		if t.live {
			load.Progress = t.stderr
		}
		result, err := load.Run(ctx)
		if result == nil {
			return err
		}
		if !*asJSON {
			result.Print(t.stdout)
			return err
		}
		encoder := json.NewEncoder(t.stdout)
		encoder.SetIndent("", "  ")
		if failed := encoder.Encode(result); failed != nil {
			return failed
		}
		return err
	}
}
