package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"sync"
	"time"

	"freshet/cmd/freshet/config"
)

// certificateInterval is how often the files behind a certificate are looked at.
const certificateInterval = 5 * time.Second

// certificate is what the public listener shows. Where it comes from files it is
// read again when they change; what cannot be read then leaves the old one in place.
type certificate struct {
	// Static after construction.
	certFile, keyFile string // empty: self-signed, never read again

	mu      sync.Mutex
	current *tls.Certificate
	stamp   fileStamp // of the files that were last tried, good or bad
}

// fileStamp is what changes when one of the two files does. The files are asked by
// name, so a link that is pointed elsewhere, as Kubernetes does it, is a change too.
type fileStamp struct {
	cert, key         time.Time
	certSize, keySize int64
}

// openCertificate loads or makes the certificate that c asks for; nil if it asks for none.
func openCertificate(c config.TLS) (*certificate, error) {
	switch {
	case c.SelfSigned.On:
		pair, err := selfSigned(c.SelfSigned.Names, time.Now())
		if err != nil {
			return nil, fmt.Errorf("tls.self_signed: %w", err)
		}
		return &certificate{current: pair}, nil
	case c.Cert != "":
		loaded := &certificate{certFile: c.Cert, keyFile: c.Key}
		if _, err := loaded.reload(true); err != nil {
			return nil, err
		}
		return loaded, nil
	}
	return nil, nil
}

// config is the TLS configuration of a listener that shows the certificate.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.current, nil
		},
	}
}

// reload reads the files if they changed since they were last tried, or in any case
// with force. It reports whether there is a new certificate.
func (c *certificate) reload(force bool) (bool, error) {
	if c.certFile == "" {
		return false, nil
	}
	stamp, err := c.stampNow()
	c.mu.Lock()
	same := err == nil && stamp == c.stamp
	c.mu.Unlock()
	if err != nil || same && !force {
		return false, err
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		err = fmt.Errorf("tls.cert %s and tls.key %s: %w", c.certFile, c.keyFile, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stamp = stamp
	if err != nil {
		return false, err
	}
	c.current = &pair
	return true, nil
}

func (c *certificate) stampNow() (fileStamp, error) {
	cert, err := os.Stat(c.certFile)
	if err != nil {
		return fileStamp{}, missingFile("tls.cert", c.certFile, err)
	}
	key, err := os.Stat(c.keyFile)
	if err != nil {
		return fileStamp{}, missingFile("tls.key", c.keyFile, err)
	}
	return fileStamp{cert.ModTime(), key.ModTime(), cert.Size(), key.Size()}, nil
}

// missingFile names the setting that points to a file that cannot be had.
func missingFile(key, path string, err error) error {
	if cause, ok := errors.AsType[*fs.PathError](err); ok {
		err = cause.Err
	}
	return fmt.Errorf("%s: %s: %w", key, path, err)
}

// watch reads the files again when they change, and whenever hup says so, until ctx ends.
// One failure is logged once, not every time it is met again.
func (c *certificate) watch(ctx context.Context, hup <-chan os.Signal, log *slog.Logger) {
	ticker := time.NewTicker(certificateInterval)
	defer ticker.Stop()
	told := ""
	for {
		force := false
		select {
		case <-ctx.Done():
			return
		case <-hup:
			force, told = true, ""
		case <-ticker.C:
		}
		switch renewed, err := c.reload(force); {
		case err != nil && err.Error() != told:
			told = err.Error()
			log.Error("certificate not renewed, the old one stays", "err", err)
		case renewed:
			told = ""
			log.Info("certificate renewed", "cert", c.certFile)
		}
	}
}

// selfSigned makes a certificate for this machine's own names and for names, which may
// be IP addresses. The key never leaves memory, so there is a new one at each start.
func selfSigned(names []string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // RFC 5280, section 4.1.2.2: positive, 20 bytes at most
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "freshet, self-signed"},
		NotBefore:    now.Add(-time.Hour), // clocks differ
		NotAfter:     now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},

		// It signs nothing, and yet whoever wants to trust just this one can.
		BasicConstraintsValid: true,
	}
	for _, name := range append([]string{"localhost", "127.0.0.1", "::1"}, names...) {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
