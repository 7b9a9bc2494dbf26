// Package examples holds the data and the playbooks that `tidemark demo` runs
// without any file of the user's. It promises only that the paths below are
// there; where the data come from and under which licence stands in the
// SOURCE.txt beside each.
package examples

import "embed"

// Data holds the folders data and playbooks.
//
//go:embed all:data all:playbooks
var Data embed.FS

// Paths in Data, each data file with its mapping.
const (
	CDNOW               = "data/cdnow/CDNOW_master.txt.gz"
	CDNOWMapping        = "data/cdnow/cdnow.mapping.yaml"
	CDNOWSample         = "data/cdnow/CDNOW_sample.txt.gz"
	CDNOWSampleMapping  = "data/cdnow/cdnow-sample.mapping.yaml"
	OnlineRetail        = "data/onlineretail/online_retail.csv.gz"
	OnlineRetailMapping = "data/onlineretail/online-retail.mapping.yaml"
)
