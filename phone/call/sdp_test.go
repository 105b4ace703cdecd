package call

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
)

var here = netip.MustParseAddrPort("192.0.2.99:4000")

// description is a session with lines of media.
func description(media ...string) string {
	return "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n" + strings.Join(media, "\r\n") + "\r\n"
}

func TestAnswerToAnOffer(t *testing.T) {
	for name, x := range map[string]struct {
		offer, codec, peer, direction string
		pt                            uint8
		media                         []string // lines of the answer
	}{
		"plain":        {description("m=audio 4000 RTP/AVP 0 8"), "PCMU", "192.0.2.1:4000", "sendrecv", 0, []string{"m=audio 4000 RTP/AVP 0"}},
		"theirs first": {description("m=audio 4000 RTP/AVP 18 8 0"), "PCMA", "192.0.2.1:4000", "sendrecv", 8, []string{"m=audio 4000 RTP/AVP 8"}},
		"named": {description("m=audio 4000 RTP/AVP 97 98", "a=rtpmap:97 opus/48000/2", "a=rtpmap:98 pcma/8000/1"),
			"PCMA", "192.0.2.1:4000", "sendrecv", 98, []string{"m=audio 4000 RTP/AVP 98"}},
		"a name of their own for 0": {description("m=audio 4000 RTP/AVP 0 8", "a=rtpmap:0 G728/8000"),
			"PCMA", "192.0.2.1:4000", "sendrecv", 8, []string{"m=audio 4000 RTP/AVP 8"}},
		"with video": {description("m=video 5000 RTP/AVP 31", "m=audio 4000 RTP/AVP 0", "m=audio 4002 RTP/AVP 0"),
			"PCMU", "192.0.2.1:4000", "sendrecv", 0, []string{"m=video 0 RTP/AVP 31", "m=audio 4000 RTP/AVP 0", "m=audio 0 RTP/AVP 0"}},
		"an address of its own": {description("m=audio 4000 RTP/AVP 0", "c=IN IP4 192.0.2.7"), "PCMU", "192.0.2.7:4000", "sendrecv", 0, []string{"m=audio 4000 RTP/AVP 0"}},
		"only sends":            {description("m=audio 4000 RTP/AVP 0", "a=sendonly"), "PCMU", "192.0.2.1:4000", "recvonly", 0, nil},
		"only hears":            {description("a=recvonly", "m=audio 4000 RTP/AVP 0"), "PCMU", "192.0.2.1:4000", "sendonly", 0, nil},
		"nearer wins":           {description("a=recvonly", "m=audio 4000 RTP/AVP 0", "a=inactive"), "PCMU", "192.0.2.1:4000", "inactive", 0, nil},
		"on hold":               {description("m=audio 4000 RTP/AVP 0", "c=IN IP4 0.0.0.0"), "PCMU", "0.0.0.0:4000", "recvonly", 0, nil},
	} {
		body, s, err := answer(here, []byte(x.offer))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.name != x.codec || s.pt != x.pt || s.peer.String() != x.peer || !strings.Contains(string(body), "\r\na="+x.direction+"\r\n") {
			t.Errorf("%s: %+v\n%s", name, s, body)
		}
		var media []string
		for line := range strings.Lines(string(body)) {
			if strings.HasPrefix(line, "m=") {
				media = append(media, strings.TrimSpace(line))
			}
		}
		if x.media != nil && strings.Join(media, "|") != strings.Join(x.media, "|") {
			t.Errorf("%s: %q, want %q", name, media, x.media)
		}
		// The other side understands it.
		if back, err := agreed(s.peer, body); err != nil && x.peer != "0.0.0.0:4000" || err == nil && (back.name != x.codec || back.peer != here) {
			t.Errorf("%s: %+v, %v", name, back, err)
		}
	}
}

func TestNoAnswerToAnOffer(t *testing.T) {
	for name, x := range map[string][2]string{
		"nothing":       {"", "session description"},
		"no media":      {description(), "no audio"},
		"refused":       {description("m=audio 0 RTP/AVP 0"), "no audio"},
		"port":          {description("m=audio 70000 RTP/AVP 0"), "session description"},
		"secure":        {description("m=audio 4000 RTP/SAVP 0"), "no audio"},
		"another codec": {description("m=audio 4000 RTP/AVP 18 9 101"), "no audio"},
		"a name":        {description("m=audio 4000 RTP/AVP 0", "c=IN IP4 host.example"), "host.example"},
		"multicast":     {description("m=audio 4000 RTP/AVP 0", "c=IN IP4 224.0.0.1/127"), "224.0.0.1"},
		"family":        {description("m=audio 4000 RTP/AVP 0", "c=IN IP6 2001:db8::1"), "2001:db8::1"},
		"no address":    {"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n", "where audio goes"},
		"streams":       {description(strings.Split(strings.Repeat("m=audio 4000 RTP/AVP 0|", 17), "|")...), "more than 16"},
	} {
		if body, s, err := answer(here, []byte(x[0])); err == nil || !strings.Contains(err.Error(), x[1]) {
			t.Errorf("%s: %v, %v, %s", name, err, s, body)
		}
	}
}

// FuzzAnswer: what is agreed to is possible, and the answer is one.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(description("m=audio 4000 RTP/AVP 0 8")))
	f.Add([]byte(description("m=audio 4000 RTP/AVP 97 98", "a=rtpmap:98 PCMA/8000", "m=video 5000/2 RTP/AVP 31")))
	f.Add([]byte(description("m=audio 4000 RTP/AVP 0", "c=IN IP4 0.0.0.0", "a=sendonly")))
	f.Fuzz(func(t *testing.T, offered []byte) {
		body, s, err := answer(here, offered)
		if err != nil {
			return
		}
		if !s.peer.Addr().Is4() || s.peer.Port() == 0 || s.encode == nil || s.pt > 127 {
			t.Fatalf("%+v of %q", s, offered)
		}
		if back, err := agreed(here, body); err != nil || back.pt != s.pt || back.peer != here || bytes.Count(body, []byte("\r\nm=")) > maxMedia {
			t.Fatalf("%q is answered with %q: %+v, %v", offered, body, back, err)
		}
	})
}
