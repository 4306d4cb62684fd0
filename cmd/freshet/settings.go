package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strings"

	"freshet/cmd/freshet/config"
)

func init() {
	register(command{
		name:    "config",
		summary: "print the reference configuration file",
		details: `It documents every key and holds every default: a file to start from.`,
		define: func(*flag.FlagSet) action {
			return func(_ context.Context, t *terminal, args []string) error {
				if err := noArguments(args); err != nil {
					return err
				}
				_, err := fmt.Fprint(t.stdout, config.Reference)
				return err
			}
		},
	})
	register(command{
		name:    "check",
		args:    "FILE",
		summary: "check a configuration file",
		details: `Tells every mistake in the file, with its line, and whether the certificates it
names can be read. The environment counts, as it would when the relay runs.`,
		define: func(*flag.FlagSet) action {
			return func(_ context.Context, t *terminal, args []string) error {
				if len(args) != 1 {
					return &usageError{text: "needs one FILE"}
				}
				c, err := config.Load(config.Layers{File: args[0], Environ: t.environ})
				if err != nil {
					return err
				}
				_, certErr := openCertificate(c.TLS)
				_, feedsErr := openFeeds(c.Feeds, slog.New(slog.DiscardHandler), nil)
				_, clusterErr := openCluster(c, slog.New(slog.DiscardHandler), nil, nil)
				if err := errors.Join(certErr, feedsErr, clusterErr); err != nil {
					return err
				}
				fmt.Fprintf(t.stdout, "%s: no mistake found\n", args[0])
				return nil
			}
		},
	})
}

// settingFlags are the flags that set configuration keys, for commands that run a relay.
type settingFlags struct {
	file     string
	settings []config.Setting
}

// defineSettings declares the flags.
func defineSettings(flags *flag.FlagSet) *settingFlags {
	s := &settingFlags{}
	flags.StringVar(&s.file, "config", "", "configuration `FILE` (or FRESHET_CONFIG)")
	s.address(flags, "public", "listen with TLS on `HOST:PORT`")
	s.address(flags, "plain", "listen without TLS on `HOST:PORT`, or off (default 127.0.0.1:8080)")
	s.address(flags, "admin", "listen for health, metrics and profiles on `HOST:PORT`, or off (default 127.0.0.1:8081)")
	flags.BoolFunc("self-signed", "make a certificate for localhost; or =NAME,... for these names too", func(text string) error {
		s.add("-self-signed", "tls.self_signed", text)
		return nil
	})
	flags.Func("feed", "pull the SSE feed at URL into a topic, `URL=TOPIC`; repeatable", func(text string) error {
		s.add("-feed", "feeds", text)
		return nil
	})
	flags.Func("set", "set any key of the configuration, `KEY=VALUE`; repeatable", func(text string) error {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("%q is not KEY=VALUE", text)
		}
		s.add("-set", key, value)
		return nil
	})
	return s
}

func (s *settingFlags) address(flags *flag.FlagSet, name, usage string) {
	flags.Func(name, usage, func(text string) error {
		s.add("-"+name, "listen."+name, text)
		return nil
	})
}

func (s *settingFlags) add(flag, key, text string) {
	s.settings = append(s.settings, config.Setting{Flag: flag, Key: key, Text: text})
}

// load reads the configuration that the flags ask for.
func (s *settingFlags) load(t *terminal) (*config.Config, error) {
	return config.Load(config.Layers{
		File:    cmp.Or(s.file, t.variable("FRESHET_CONFIG")),
		Environ: t.environ,
		Flags:   s.settings,
	})
}
