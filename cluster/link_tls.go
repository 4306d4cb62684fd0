package cluster

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// linkIdentity is how a relay proves itself to others, and knows them. Nil: links are plain, on loopback only.
type linkIdentity struct {
	certificate tls.Certificate
	authorities *x509.CertPool
	derived     bool // from the key: then the certificate's name is the relay's, checked on both sides
}

// linkName is the one DNS name in derived certificates: a relay is reached at any address, and who it is stands in the
// subject.
const linkName = "link.freshet.invalid"

// deriveIdentity makes an authority from each key, deterministically, so that all who have the key trust the same one,
// and signs a certificate for this process under the first. Nobody without the key can make one.
func deriveIdentity(name string, keys [][]byte) (*linkIdentity, error) {
	id := &linkIdentity{authorities: x509.NewCertPool(), derived: true}
	for i, key := range keys {
		authority, signer, err := deriveAuthority(key)
		if err != nil {
			return nil, fmt.Errorf("derive an authority from cluster.key: %w", err)
		}
		id.authorities.AddCert(authority)
		if i > 0 {
			continue // accepted, for as long as a rotation takes
		}
		if id.certificate, err = issue(name, authority, signer); err != nil {
			return nil, fmt.Errorf("issue a certificate for links: %w", err)
		}
	}
	return id, nil
}

// deriveAuthority gives the same certificate for the same key everywhere: Ed25519 signatures are deterministic
// (RFC 8032, section 5.1.6), and nothing else in it is drawn.
func deriveAuthority(key []byte) (*x509.Certificate, ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, key, nil, "freshet cluster links authority 1", ed25519.SeedSize)
	if err != nil {
		return nil, nil, err
	}
	signer := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "freshet cluster"},
		NotBefore:             time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC), // it is as secret as the key, and lasts as long
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return nil, nil, err
	}
	c, err := x509.ParseCertificate(der)
	return c, signer, err
}

func issue(name string, authority *x509.Certificate, signer ed25519.PrivateKey) (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{linkName},
		NotBefore:    authority.NotBefore, // clocks may differ; the key decides, not the date
		NotAfter:     authority.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, public, signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, nil
}

// loadIdentity takes the operator's own certificate and authority. Any certificate of that authority is a relay: it
// signs for nothing else.
func loadIdentity(certFile, keyFile string, authorities []byte) (*linkIdentity, error) {
	c, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("cluster.tls.cert and .key: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return nil, errors.New("cluster.tls.ca: no certificate in it")
	}
	return &linkIdentity{certificate: c, authorities: pool}, nil
}

// server and client are TLS 1.3 only: both ends are ours.
func (id *linkIdentity) server() *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		Certificates:     []tls.Certificate{id.certificate},
		ClientAuth:       tls.RequireAndVerifyClientCert,
		ClientCAs:        id.authorities,
		NextProtos:       []string{"h2"},
		VerifyConnection: id.verify(""),
	}
}

func (id *linkIdentity) client(peer string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{id.certificate},
		ServerName:   linkName,
		// The chain is verified below: an operator's certificate has whatever names it has.
		InsecureSkipVerify: true,
		NextProtos:         []string{"h2"},
		VerifyConnection:   id.verify(peer),
	}
}

// verify checks the chain, and for derived certificates that the peer is who it should be; "" is anybody.
func (id *linkIdentity) verify(peer string) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("link: no certificate")
		}
		options := x509.VerifyOptions{Roots: id.authorities, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
		for _, c := range s.PeerCertificates[1:] {
			options.Intermediates.AddCert(c)
		}
		leaf := s.PeerCertificates[0]
		if _, err := leaf.Verify(options); err != nil {
			return fmt.Errorf("link: another cluster's certificate, or another key: %w", err)
		}
		if id.derived && peer != "" && leaf.Subject.CommonName != peer {
			return fmt.Errorf("link: %q answers where %q should be", leaf.Subject.CommonName, peer)
		}
		return nil
	}
}
