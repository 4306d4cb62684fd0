package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
)

func init() {
	register(command{
		name:    "version",
		summary: "print the version",
		define: func(*flag.FlagSet) action {
			return func(_ context.Context, t *terminal, args []string) error {
				if err := noArguments(args); err != nil {
					return err
				}
				fmt.Fprintf(t.stdout, "freshet %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return nil
			}
		},
	})
}

// version is the module's version as the build recorded it, which includes the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown version)"
	}
	return info.Main.Version
}
