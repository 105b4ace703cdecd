package call

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/zaf/g711"
)

// codec is one of the two forms of G.711 (RFC 3551, section 4.5.14).
type codec struct {
	name   string
	pt     uint8 // payload type; another may be negotiated
	encode func([]byte) []byte
	decode func([]byte) []byte
}

var codecs = []codec{{"PCMU", 0, g711.EncodeUlaw, g711.DecodeUlaw}, {"PCMA", 8, g711.EncodeAlaw, g711.DecodeAlaw}}

// stream is what two sides agreed on: where audio goes and how it is coded.
type stream struct {
	codec
	peer    netip.AddrPort
	sends   bool // we do
	listens bool // we do
}

// maxMedia bounds the streams of an offer; each has to be answered.
const maxMedia = 16

var errNoAudio = errors.New("there is no audio of 8 kHz in G.711 (PCMU, PCMA) in it")

// describe makes a session description (RFC 8866) with one stream of audio, or
// for an answer as many as were offered, of which all but one are refused.
func describe(local netip.AddrPort, offered []*sdp.MediaDescription, use int, formats []codec, direction string) ([]byte, error) {
	family := "IP4"
	if local.Addr().Is6() {
		family = "IP6"
	}
	id := rand.Uint64() >> 2
	d := &sdp.SessionDescription{
		Origin: sdp.Origin{
			Username: "-", SessionID: id, SessionVersion: id,
			NetworkType: "IN", AddressType: family, UnicastAddress: local.Addr().String(),
		},
		SessionName: "-",
		ConnectionInformation: &sdp.ConnectionInformation{
			NetworkType: "IN", AddressType: family, Address: &sdp.Address{Address: local.Addr().String()},
		},
		TimeDescriptions: []sdp.TimeDescription{{}},
	}
	for i, m := range offered {
		if i == use {
			d.MediaDescriptions = append(d.MediaDescriptions, audio(local.Port(), formats, direction))
			continue
		}
		no := m.MediaName
		no.Port = sdp.RangedPort{} // refused (RFC 3264, section 6)
		d.MediaDescriptions = append(d.MediaDescriptions, &sdp.MediaDescription{MediaName: no})
	}
	if offered == nil {
		d.MediaDescriptions = []*sdp.MediaDescription{audio(local.Port(), formats, direction)}
	}
	return d.Marshal()
}

func audio(port uint16, formats []codec, direction string) *sdp.MediaDescription {
	m := &sdp.MediaDescription{MediaName: sdp.MediaName{
		Media: "audio", Port: sdp.RangedPort{Value: int(port)}, Protos: []string{"RTP", "AVP"},
	}}
	for _, c := range formats {
		m.WithCodec(c.pt, c.name, sampleRate, 0, "")
	}
	return m.WithValueAttribute("ptime", "20").WithPropertyAttribute(direction)
}

// offer is what a caller sends.
func offer(local netip.AddrPort) ([]byte, error) {
	return describe(local, nil, 0, codecs, "sendrecv")
}

// answer agrees to an offer.
func answer(local netip.AddrPort, body []byte) ([]byte, *stream, error) {
	d, at, s, err := agree(local, body)
	if err != nil {
		return nil, nil, err
	}
	direction := map[[2]bool]string{{true, true}: "sendrecv", {true, false}: "sendonly", {false, true}: "recvonly", {false, false}: "inactive"}
	reply, err := describe(local, d.MediaDescriptions, at, []codec{s.codec}, direction[[2]bool{s.sends, s.listens}])
	return reply, s, err
}

// agreed reads the answer to our offer.
func agreed(local netip.AddrPort, body []byte) (*stream, error) {
	_, _, s, err := agree(local, body)
	return s, err
}

// agree finds the first stream that we can have, and its place.
func agree(local netip.AddrPort, body []byte) (*sdp.SessionDescription, int, *stream, error) {
	d := new(sdp.SessionDescription)
	if err := d.Unmarshal(body); err != nil {
		return nil, 0, nil, fmt.Errorf("session description: %w", err)
	}
	if len(d.MediaDescriptions) > maxMedia {
		return nil, 0, nil, fmt.Errorf("session description: it has more than %d streams", maxMedia)
	}
	fault := errNoAudio
	for i, m := range d.MediaDescriptions {
		s, err := streamOf(d, m)
		if err == nil && s.peer.Addr().Is4() != local.Addr().Is4() {
			err = fmt.Errorf("audio to %s is not possible from %s", s.peer.Addr(), local.Addr())
		}
		if err == nil {
			return d, i, s, nil
		}
		fault = err
	}
	return nil, 0, nil, fmt.Errorf("session description: %w", fault)
}

func streamOf(d *sdp.SessionDescription, m *sdp.MediaDescription) (*stream, error) {
	if m.MediaName.Media != "audio" || m.MediaName.Port.Value <= 0 || m.MediaName.Port.Value > 65535 ||
		!slices.Equal(m.MediaName.Protos, []string{"RTP", "AVP"}) {
		return nil, errNoAudio
	}
	c := m.ConnectionInformation
	if c == nil {
		c = d.ConnectionInformation
	}
	if c == nil || c.Address == nil {
		return nil, errors.New("it does not say where audio goes to")
	}
	host, _, _ := strings.Cut(c.Address.Address, "/")
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.IsMulticast() || addr.Zone() != "" {
		return nil, fmt.Errorf("audio to %q is not possible", printable(host))
	}
	s := &stream{peer: netip.AddrPortFrom(addr.Unmap(), uint16(m.MediaName.Port.Value))}
	if s.codec, err = codecOf(m); err != nil {
		return nil, err
	}
	s.sends, s.listens = directions(d, m)
	if addr.IsUnspecified() { // on hold, as it was said before there were directions (RFC 3264, section 8.4)
		s.sends = false
	}
	return s, nil
}

// codecOf takes the first format of theirs that is one of ours. Names tell more
// than numbers, which have a meaning of their own only without a name.
func codecOf(m *sdp.MediaDescription) (codec, error) {
	names := map[string]string{}
	for _, a := range m.Attributes {
		if pt, name, ok := strings.Cut(a.Value, " "); ok && a.Key == "rtpmap" {
			names[pt] = strings.TrimSuffix(strings.ToUpper(strings.TrimSpace(name)), "/1")
		}
	}
	for _, format := range m.MediaName.Formats {
		pt, err := strconv.ParseUint(format, 10, 7)
		if err != nil {
			continue
		}
		for _, c := range codecs {
			if name := names[format]; name == c.name+"/8000" || name == "" && uint64(c.pt) == pt {
				c.pt = uint8(pt)
				return c, nil
			}
		}
	}
	return codec{}, errNoAudio
}

// directions are ours: what they only send, we only hear (RFC 3264, section 6.1).
func directions(d *sdp.SessionDescription, m *sdp.MediaDescription) (sends, listens bool) {
	for _, list := range [][]sdp.Attribute{m.Attributes, d.Attributes} {
		for _, a := range list {
			switch a.Key {
			case "sendrecv":
				return true, true
			case "sendonly":
				return false, true
			case "recvonly":
				return true, false
			case "inactive":
				return false, false
			}
		}
	}
	return true, true
}
