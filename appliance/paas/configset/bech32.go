package configset

import "strings"

// bech32 writes data as age writes its keys (BIP 173, without its bound on the length). age reads such texts and makes none of
// a key that somebody else has derived.
func bech32(prefix string, data []byte) string {
	const alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	var groups []byte
	bits, n := uint32(0), 0
	for _, b := range data {
		bits, n = bits<<8|uint32(b), n+8
		for n >= 5 {
			n -= 5
			groups = append(groups, byte(bits>>n&31))
		}
	}
	if n > 0 {
		groups = append(groups, byte(bits<<(5-n)&31))
	}
	var out strings.Builder
	out.WriteString(prefix + "1")
	for _, g := range append(groups, checksum(prefix, groups)...) {
		out.WriteByte(alphabet[g])
	}
	return out.String()
}

func checksum(prefix string, groups []byte) []byte {
	var all []byte
	for _, c := range []byte(prefix) {
		all = append(all, c>>5)
	}
	all = append(all, 0)
	for _, c := range []byte(prefix) {
		all = append(all, c&31)
	}
	all = append(append(all, groups...), 0, 0, 0, 0, 0, 0)
	sum := uint32(1)
	for _, v := range all {
		top := sum >> 25
		sum = sum&0x1ffffff<<5 ^ uint32(v)
		for i, g := range []uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	sum ^= 1
	out := make([]byte, 6)
	for i := range out {
		out[i] = byte(sum >> (5 * (5 - i)) & 31)
	}
	return out
}
