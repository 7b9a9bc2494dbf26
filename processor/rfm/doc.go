// Package rfm scores customers by recency (最近一次消费), frequency (消费频率) and
// monetary value (消费金额), and names the class that the three scores stand for.
//
// # Scores
//
// Recency is in whole days since the last purchase, frequency a count of
// purchases, monetary value in minor units; all integers. A dimension has n-1
// cuts c1 <= c2 <= ... in ascending order, which make n bins [lower, upper). A
// value's bin is 1 + the number of cuts <= the value. Frequency and monetary
// scores are the bin, the recency score is n+1-bin, so that 5 is always best.
// Equal cuts leave the scores between them unused.
//
// # Why cuts are integers
//
// A quantile or a mean q of integers is a fraction, but for an integer v
// v >= q holds exactly where v >= ceil(q). So a cut is kept as the smallest
// integer that reaches the next bin, computed from exact fractions, and no
// float is compared anywhere. "Above the mean" is therefore v >= mean for F and
// M, and for recency v < mean is the better side.
//
// # Classes
//
// Five maps are built in; Maps lists them, MapNamed finds one, and a Map may be
// anybody's own, by ranges, by codes, or by a weighted sum. "putler" reads
// scores from 1 to 5, first match in this order (after the grid that Putler
// popularised; F and M share a range):
//
//	key                 中文          R    F and M
//	champions           冠军客户      4-5  4-5
//	loyal               忠诚客户      2-5  3-5
//	potential_loyalist  潜在忠诚客户  3-5  1-3
//	new_customers       新客户        4-5  1
//	promising           有潜力客户    3-4  1
//	need_attention      需要关注客户  2-3  2-3
//	about_to_sleep      即将沉睡客户  2-3  1-2
//	at_risk             流失风险客户  1-2  2-5
//	cant_lose_them      不能失去客户  1    4-5
//	lost                流失客户      1-2  1-2
//	others              其他          none of the above
//
// In this order some lines can never be reached by themselves: whoever is new or
// promising is a potential loyalist first, and whoever can't be lost is at
// risk first. They stay, since a playbook may put them in another order.
//
// "eight" reads scores 1 and 2, from one cut a dimension (the mean, or the
// median); 1 in the table is the better side of the cut:
//
//	key                 中文          R F M
//	important_value     重要价值客户  1 1 1
//	important_develop   重要发展客户  1 0 1
//	important_keep      重要保持客户  0 1 1
//	important_retain    重要挽留客户  0 0 1
//	general_value       一般价值客户  1 1 0
//	general_develop     一般发展客户  1 0 0
//	general_keep        一般保持客户  0 1 0
//	general_retain      一般挽留客户  0 0 0
//
// "exact_125" reads scores from 1 to 5 and lists every one of the 125 codes once:
// Putler's names and hibernating (休眠客户), without overlaps.
//
// "six" (六类) reads scores 1 and 2; 1 in the table is the better side, - either:
//
//	key        中文      R F M
//	core       核心客户  1 1 1
//	active     活跃客户  1 1 0
//	potential  潜力客户  1 0 1
//	new        新客户    1 0 0
//	lost       流失客户  0 0 0
//	sleeping   沉睡客户  0 - - but for lost
//
// "six_thirds" gives the same names on scores 1 to 3: core 3 2-3 3, active 3 2-3
// 1-2, potential 3 1 2-3, new 3 1 1, sleeping 2 - -, lost 1 - -.
//
// # Cuts over all customers
//
// Each task keeps a Histogram per dimension, taking a customer off the old
// value and putting her on the new one. At a period's end the histograms are
// merged in task order and the cuts taken from the sum. FORMAT.md describes the
// encoding.
//
// # Invariants
//
//   - Integers only; no clock, no map order, no float: the same everywhere.
//   - The order of additions, removals and merges changes nothing but the mode
//     (exact or logarithmic), and a merge of whole histograms not even that.
//   - A value never changes sides by being counted: all values of a
//     logarithmic bucket compare alike with that bucket's own lower bound.
//
// The package imports nothing of Tidemark.
package rfm
