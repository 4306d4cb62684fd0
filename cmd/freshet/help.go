package main

import (
	"context"
	"flag"
	"fmt"
	"io"
)

func init() {
	register(command{
		name:    "help",
		args:    "[COMMAND]",
		summary: "explain a command",
		define: func(*flag.FlagSet) action {
			return func(_ context.Context, t *terminal, args []string) error {
				if len(args) == 0 {
					writeOverview(t.stdout)
					return nil
				}
				c := commands[args[0]]
				if c == nil {
					return &usageError{text: fmt.Sprintf("there is no command %q", args[0])}
				}
				c.writeHelp(t.stdout)
				return nil
			}
		},
	})
}

// writeOverview lists the commands.
func writeOverview(w io.Writer) {
	fmt.Fprintln(w, "freshet relays Server-Sent Events: post once, everyone sees it, nobody who reconnects misses anything.")
	fmt.Fprint(w, "\nusage: freshet COMMAND [flags] [arguments]\n\n")
	for _, name := range order {
		if c := commands[name]; c != nil {
			fmt.Fprintf(w, "  %-9s %s\n", c.name, c.summary)
		}
	}
	fmt.Fprint(w, "\n\"freshet help COMMAND\" explains one of them; \"freshet config\" explains every setting.\n")
}

// writeHelp explains one command.
func (c *command) writeHelp(w io.Writer) {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	c.define(flags)
	some := false
	flags.VisitAll(func(*flag.Flag) { some = true })

	fmt.Fprintf(w, "freshet %s: %s\n\nusage: freshet %s", c.name, c.summary, c.name)
	if some {
		fmt.Fprint(w, " [flags]")
	}
	if c.args != "" {
		fmt.Fprint(w, " ", c.args)
	}
	fmt.Fprintln(w)
	if c.details != "" {
		fmt.Fprint(w, "\n", c.details, "\n")
	}
	if some {
		fmt.Fprint(w, "\nflags:\n")
		flags.SetOutput(w)
		flags.PrintDefaults()
	}
}
