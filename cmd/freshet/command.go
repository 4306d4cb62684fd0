package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"freshet/cmd/freshet/config"
)

// command is one of the program's commands. Each file that has one registers it.
type command struct {
	name    string
	args    string // "TOPIC [DATA]"; empty: it takes none
	summary string // one line, lower case, without a full stop
	details string // paragraphs for its own help page

	// define declares the command's flags and returns what to do once they are parsed.
	define func(flags *flag.FlagSet) action
}

// action does a command's work, with the arguments that are left beside the flags.
type action func(ctx context.Context, t *terminal, args []string) error

// order is how help lists the commands.
var order = []string{"run", "demo", "publish", "tail", "bench", "cluster", "key", "check", "config", "version", "help"}

var commands = map[string]*command{}

// register makes a command known. It is called from init functions only.
func register(c command) {
	if commands[c.name] != nil || !slices.Contains(order, c.name) {
		panic("command " + c.name + " is registered twice, or has no place in the order")
	}
	commands[c.name] = &c
}

// usageError is a command line that cannot be meant.
type usageError struct {
	command string // empty: the program itself
	text    string
}

func (e *usageError) Error() string {
	return fmt.Sprintf("%s (see: freshet help%s)", e.text, strings.TrimRight(" "+e.command, " "))
}

// execute runs one command line and returns the exit status.
func (t *terminal) execute(ctx context.Context, args []string) int {
	if len(args) == 0 {
		writeOverview(t.stderr)
		return 2
	}
	switch args[0] {
	case "-h", "-help", "--help":
		args = append([]string{"help"}, args[1:]...)
	case "-version", "--version":
		args = append([]string{"version"}, args[1:]...)
	}
	err := t.dispatch(ctx, args[0], args[1:])
	var usage *usageError
	var problems config.Problems
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		t.say("freshet: %v", err)
		return 2
	case errors.As(err, &problems):
		for _, p := range problems {
			t.say("freshet: %v", p)
		}
		return 2
	}
	for line := range strings.Lines(err.Error()) {
		t.say("freshet: %s", strings.TrimRight(line, "\n"))
	}
	return 1
}

// dispatch finds the command and parses its flags.
func (t *terminal) dispatch(ctx context.Context, name string, args []string) error {
	c := commands[name]
	if c == nil {
		return &usageError{text: fmt.Sprintf("there is no command %q", name)}
	}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are told below, help by us
	act := c.define(flags)
	rest, err := parseInterspersed(flags, args)
	if errors.Is(err, flag.ErrHelp) {
		c.writeHelp(t.stdout)
		return nil
	}
	if err != nil {
		return &usageError{command: name, text: name + ": " + err.Error()}
	}
	err = act(ctx, t, rest)
	var usage *usageError
	if errors.As(err, &usage) && usage.command == "" {
		usage.command, usage.text = name, name+": "+usage.text
	}
	return err
}

// parseInterspersed parses flags wherever they stand, up to "--", and returns the arguments.
func parseInterspersed(flags *flag.FlagSet, args []string) ([]string, error) {
	var literal []string
	if i := slices.Index(args, "--"); i >= 0 {
		args, literal = args[:i], args[i+1:]
	}
	var rest []string
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return append(rest, literal...), nil
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// noArguments is the usage error of a command that was given arguments and takes none.
func noArguments(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &usageError{text: fmt.Sprintf("takes no argument, not %q", args[0])}
}

// repeated is a flag that may be given several times.
type repeated []string

func (r *repeated) String() string { return strings.Join(*r, " ") }

func (r *repeated) Set(text string) error {
	*r = append(*r, text)
	return nil
}
