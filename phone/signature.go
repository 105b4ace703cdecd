package phone

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// fudge is the seconds that clocks may differ (RFC 8945, section 10).
const fudge = 300

// signatures knows when the keys of this process have signed last.
var signatures clocks

// clocks keeps a clock for each key that signs. What is signed with one key bears
// times that increase: a server keeps the newest, takes nothing that is older
// (RFC 8945, section 5.2.3), and cannot tell which of two is the newer one when
// both have the same time.
type clocks struct {
	mu struct {
		sync.Mutex
		of map[string]*clock
	}
}

// clock is in seconds.
type clock struct {
	ahead int64 // of this machine's clock
	last  int64 // the newest time signed, since 1970
}

// maxClocks is where those are forgotten that say no more than the machine's.
const maxClocks = 1 << 14

// next gives the time to sign with. More than one signature in a second goes
// ahead of the clock, which the fudge allows.
func (c *clocks) next(key string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, now := c.ofLocked(key)
	k.last = max(now+k.ahead, k.last+1)
	return k.last
}

// correct gives the time to sign with instead of one that the server did not
// take, having told its own: that, when the clocks differ by too much, and else,
// when it has a newer signature, a time after both.
func (c *clocks) correct(key string, signed, server int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, now := c.ofLocked(key)
	if differ(server, signed) {
		k.ahead = server - now
	}
	if differ(server, k.last) {
		k.last = server // what was signed with the wrong clock was never taken
	} else {
		k.last = max(server, k.last) + 1
	}
	return k.last
}

// differ tells of times that a signature does not allow.
func differ(a, b int64) bool { return a-b > fudge || b-a > fudge }

func (c *clocks) ofLocked(key string) (k *clock, now int64) {
	now = time.Now().Unix()
	if k = c.mu.of[key]; k != nil {
		return k, now
	}
	if c.mu.of == nil {
		c.mu.of = map[string]*clock{}
	}
	if len(c.mu.of) >= maxClocks {
		for name, k := range c.mu.of {
			if k.last < now && k.ahead == 0 {
				delete(c.mu.of, name)
			}
		}
	}
	k = new(clock)
	c.mu.of[key] = k
	return k, now
}

// serverTime is what a server's clock shows that does not take the time signed,
// in seconds since 1970 (RFC 8945, section 5.2.3).
func serverTime(reply *dns.Msg) (int64, bool) {
	if reply == nil {
		return 0, false
	}
	t := reply.IsTsig()
	if t == nil || t.Error != dns.RcodeBadTime || t.OtherLen != 6 {
		return 0, false
	}
	at, err := strconv.ParseInt(t.OtherData, 16, 64)
	return at, err == nil
}

// signer makes and checks the MAC of a key.
type signer struct{ key *Key }

func (s signer) Generate(msg []byte, t *dns.TSIG) ([]byte, error) {
	octets, err := base64.StdEncoding.DecodeString(s.key.secret)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(t.Hdr.Name, s.key.Name) || !strings.EqualFold(t.Algorithm, s.key.Algorithm) {
		return nil, errors.New("it is of another key")
	}
	h := hmac.New(algorithms[s.key.Algorithm], octets)
	h.Write(msg)
	return h.Sum(nil), nil
}

func (s signer) Verify(msg []byte, t *dns.TSIG) error {
	want, err := s.Generate(msg, t)
	if err != nil {
		return err
	}
	if got, err := hex.DecodeString(t.MAC); err != nil || !hmac.Equal(got, want) {
		return dns.ErrSig
	}
	return nil
}

// verifier checks a reply. The library refuses to look at one that says NOTAUTH,
// as those about a wrong clock do, so it is shown NOERROR and the RCODE is put
// back before the MAC is computed.
type verifier struct {
	signer
	at    int  // of the octet with the RCODE in what is signed
	rcode byte // that octet
	time  uint64
}

func (v *verifier) Verify(msg []byte, t *dns.TSIG) error {
	msg[v.at] = v.rcode
	v.time = t.TimeSigned
	return v.signer.Verify(msg, t)
}

// verify checks a reply's signature (RFC 8945, section 5.3.1), and its time by
// the clock with which the request was signed, whether or not that is this
// machine's.
func (p *parcel) verify(octets []byte, key *Key) error {
	octets = slices.Clone(octets)
	v := &verifier{signer: signer{key}, at: 2 + len(p.mac)/2 + 3, rcode: octets[3]}
	octets[3] &^= 0x0f
	err := dns.TsigVerifyWithProvider(octets, v, p.mac, false)
	if err != nil && !errors.Is(err, dns.ErrTime) { // which is said of a MAC that is right
		return err
	}
	if differ(int64(v.time), p.signed) {
		return dns.ErrTime
	}
	return nil
}
