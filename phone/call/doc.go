// Package call places calls to terminal numbers by SIP (RFC 3261), and takes
// them. It is what two machines need that have nothing but dialtone.
//
// It owns: the way through the contacts of a number until one of them answers,
// the dialog, the audio in it (RTP with G.711, RFC 3551), and the WAV files that
// are played and recorded. Programs use Caller and Answerer; where a number is,
// they ask package phone.
//
// Limitations: one audio stream in 8 kHz mono, no RTCP, no SRTP, no forwarding
// (3xx is a refusal), no proxy, no credentials. A call is not changed while it
// lasts: a second INVITE in it is refused, and the call goes on as it is.
// Requests in a call go to where the other side's messages came from, not to its
// Contact, so that a phone behind NAT is reached.
//
// It must not know the server's packages, nor decide what a program prints.
package call
