package tap

import (
	"net/netip"
	"time"

	dnstap "github.com/dnstap/golang-dnstap"
	"google.golang.org/protobuf/proto"
)

// encode makes a dnstap message.
func (t *Tap) encode(m *message) ([]byte, error) {
	kind := dnstap.Message_AUTH_QUERY
	switch {
	case m.update && m.response:
		kind = dnstap.Message_UPDATE_RESPONSE
	case m.update:
		kind = dnstap.Message_UPDATE_QUERY
	case m.response:
		kind = dnstap.Message_AUTH_RESPONSE
	}
	protocol := dnstap.SocketProtocol_UDP
	if m.peer.TCP {
		protocol = dnstap.SocketProtocol_TCP
	}
	family := dnstap.SocketFamily_INET
	if m.peer.Remote.Addr().Unmap().Is6() {
		family = dnstap.SocketFamily_INET6
	}
	x := &dnstap.Message{
		Type: &kind, SocketFamily: &family, SocketProtocol: &protocol,
		QueryAddress: addressOf(m.peer.Remote), QueryPort: portOf(m.peer.Remote),
		ResponseAddress: addressOf(m.peer.Local), ResponsePort: portOf(m.peer.Local),
	}
	x.QueryTimeSec, x.QueryTimeNsec = timeOf(m.asked)
	if m.response {
		x.ResponseTimeSec, x.ResponseTimeNsec = timeOf(m.at)
		x.ResponseMessage = m.data
	} else {
		x.QueryMessage = m.data
	}
	whole := dnstap.Dnstap_MESSAGE
	return proto.Marshal(&dnstap.Dnstap{Type: &whole, Identity: []byte(t.o.Identity), Version: []byte(t.o.Version), Message: x})
}

func addressOf(a netip.AddrPort) []byte {
	if !a.IsValid() {
		return nil
	}
	return a.Addr().Unmap().AsSlice()
}

func portOf(a netip.AddrPort) *uint32 {
	if !a.IsValid() {
		return nil
	}
	return proto.Uint32(uint32(a.Port()))
}

func timeOf(at time.Time) (seconds *uint64, nanoseconds *uint32) {
	return proto.Uint64(uint64(max(at.Unix(), 0))), proto.Uint32(uint32(at.Nanosecond()))
}
