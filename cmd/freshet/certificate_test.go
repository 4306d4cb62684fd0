package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"freshet/cmd/freshet/config"
)

func TestSelfSigned(t *testing.T) {
	now := time.Now()
	pair, err := selfSigned([]string{"relay.test", "192.0.2.7"}, now)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "relay.test", "192.0.2.7"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now}); err != nil {
			t.Errorf("not good for %s: %v", name, err)
		}
	}
	if err := pair.Leaf.VerifyHostname("elsewhere.test"); err == nil {
		t.Error("good for a name nobody asked for")
	}
	if pair.Leaf.IsCA {
		t.Error("it could sign others")
	}
}

// certificateFiles are a certificate and its key on disk, which the test replaces.
type certificateFiles struct {
	t         *testing.T
	cert, key string
	written   int
}

func newCertificateFiles(t *testing.T) *certificateFiles {
	dir := t.TempDir()
	return &certificateFiles{t: t, cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
}

// write replaces both files by a pair for name.
func (f *certificateFiles) write(name string) {
	f.t.Helper()
	pair, err := selfSigned([]string{name}, time.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	key, err := x509.MarshalECPrivateKey(pair.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		f.t.Fatal(err)
	}
	f.put(f.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	f.put(f.key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key}))
}

// put replaces one file, with a time of its own however coarse the disk's clock is.
func (f *certificateFiles) put(path string, content []byte) {
	f.t.Helper()
	f.written++
	if err := os.WriteFile(path, content, 0o600); err != nil {
		f.t.Fatal(err)
	}
	at := time.Now().Add(time.Duration(f.written) * time.Second)
	if err := os.Chtimes(path, at, at); err != nil {
		f.t.Fatal(err)
	}
}

// shows reports whether a client that wants name is content with what it is shown.
func shows(t *testing.T, c *certificate, name string) bool {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	done := make(chan error, 1)
	go func() { done <- tls.Server(there, c.config()).Handshake() }()
	client := tls.Client(here, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return client.ConnectionState().PeerCertificates[0].VerifyHostname(name) == nil
}

func TestCertificateIsRenewed(t *testing.T) {
	files := newCertificateFiles(t)
	files.write("first.test")
	c, err := openCertificate(config.TLS{Cert: files.cert, Key: files.key})
	if err != nil {
		t.Fatal(err)
	}
	if !shows(t, c, "first.test") {
		t.Fatal("not the certificate of the files")
	}

	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		hup := make(chan os.Signal, 1)
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.watch(ctx, hup, slog.New(slog.NewTextHandler(&log, nil)))
		}()
		// told waits for what the watcher does next, and returns what it logged about it.
		told := func(wait time.Duration) string {
			time.Sleep(wait)
			synctest.Wait()
			defer log.Reset()
			return log.String()
		}

		if text := told(10 * certificateInterval); text != "" {
			t.Errorf("nothing changed, and it says %q", text)
		}
		files.write("second.test")
		if text := told(certificateInterval); strings.Count(text, "certificate renewed") != 1 {
			t.Errorf("after a change it says %q", text)
		}
		if !shows(t, c, "second.test") {
			t.Error("the new certificate is not shown")
		}

		// Half of a pair, as it is for a moment when files are replaced one by one.
		files.put(files.key, []byte("nonsense"))
		if text := told(10 * certificateInterval); strings.Count(text, "not renewed") != 1 {
			t.Errorf("with a broken key it says %q", text)
		}
		if !shows(t, c, "second.test") {
			t.Error("the old certificate is no longer shown")
		}
		os.Remove(files.key)
		if text := told(10 * certificateInterval); strings.Count(text, "no such file") != 1 {
			t.Errorf("without a key it says %q", text)
		}
		files.write("third.test")
		hup <- syscall.SIGHUP
		if text := told(0); strings.Count(text, "certificate renewed") != 1 {
			t.Errorf("after a signal it says %q", text)
		}
		if !shows(t, c, "third.test") {
			t.Error("the third certificate is not shown")
		}
		cancel()
		<-done
	})
}

func TestOpenCertificateTellsWhatIsWrong(t *testing.T) {
	files := newCertificateFiles(t)
	if c, err := openCertificate(config.TLS{}); c != nil || err != nil {
		t.Errorf("nothing asked for: %v, %v", c, err)
	}
	files.write("a.test")
	files.put(files.key, []byte("nonsense"))
	_, err := openCertificate(config.TLS{Cert: files.cert, Key: files.key})
	if err == nil || !strings.Contains(err.Error(), "tls.key "+files.key) {
		t.Errorf("a broken key: %v", err)
	}
}
