package playbook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"sort"
)

// canonical appends the canonical text of n; its form is in the package's
// documentation. It must never change: versions stand in journals and triggers.
func canonical(dst []byte, n *node) []byte {
	switch n.kind {
	case scalarNode:
		return appendJSON(dst, n.text)
	case listNode:
		dst = append(dst, '[')
		for i, item := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = canonical(dst, item)
		}
		return append(dst, ']')
	case mapNode:
		entries := append([]entry(nil), n.entries...)
		sort.SliceStable(entries, func(i, j int) bool { return entries[i].key.text < entries[j].key.text })
		dst = append(dst, '{')
		for i, e := range entries {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e.key.text)
			dst = append(dst, ':')
			dst = canonical(dst, e.value)
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

func appendJSON(dst []byte, s string) []byte {
	b, _ := json.Marshal(s) // a string always marshals
	return append(dst, b...)
}

func versionOf(root *node, version string) string {
	sum := sha256.Sum256(canonical(nil, root))
	return version + "-" + hex.EncodeToString(sum[:4])
}
