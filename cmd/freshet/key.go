package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"

	"freshet/cmd/freshet/config"
)

func init() {
	register(command{
		name:    "key",
		summary: "print a new key for a cluster",
		details: `32 random bytes in base64, for cluster.key: the same key on all relays of a cluster.
Whoever has it can read what the relays say to one another, and join them. Put it where
other secrets are, and into the configuration with ${NAME}, or FRESHET_CLUSTER_KEY.

To change it while the relays run: first give all of them both keys, the old one first;
then both, the new one first; then the new one alone, restarting one relay after another.`,
		define: func(*flag.FlagSet) action {
			return func(_ context.Context, t *terminal, args []string) error {
				if err := noArguments(args); err != nil {
					return err
				}
				_, err := fmt.Fprintln(t.stdout, newKey())
				return err
			}
		},
	})
}

func newKey() string {
	var key [32]byte
	rand.Read(key[:]) // it never fails
	return config.FormatKey(key)
}
