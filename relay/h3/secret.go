package h3

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"github.com/quic-go/quic-go"
)

// secretBytes is how long Server.Secret must be at least.
const secretBytes = 32

// deriveKeys gives the transport the keys that outlive the process.
func (s *Server) deriveKeys(t *quic.Transport) error {
	if len(s.Secret) == 0 {
		return nil
	}
	if len(s.Secret) < secretBytes {
		return fmt.Errorf("h3: the secret has %d bytes, fewer than %d", len(s.Secret), secretBytes)
	}
	reset, token := new(quic.StatelessResetKey), new(quic.TokenGeneratorKey)
	for _, k := range []struct {
		of   string
		into []byte
	}{{"stateless reset", reset[:]}, {"address token", token[:]}} {
		key, err := hkdf.Key(sha256.New, s.Secret, nil, "freshet HTTP/3 "+k.of, len(k.into))
		if err != nil {
			return fmt.Errorf("h3: derive the key of the %s: %w", k.of, err)
		}
		copy(k.into, key)
	}
	t.StatelessResetKey, t.TokenGeneratorKey = reset, token
	return nil
}
