package rfm

// Maps lists the names of the built-in maps.
func Maps() []string { return []string{"eight", "exact_125", "putler", "six", "six_thirds"} }

// MapNamed returns a built-in map of its own, free to be changed.
func MapNamed(name string) (*Map, bool) {
	switch name {
	case "eight":
		return eight(), true
	case "exact_125":
		return exact125(), true
	case "putler":
		return putler(), true
	case "six":
		return six(), true
	case "six_thirds":
		return sixThirds(), true
	}
	return nil, false
}

func putler() *Map {
	grid := func(key, name, chinese string, r, fm Range) Class {
		return Class{Key: key, Name: name, Chinese: chinese, R: r, F: fm, M: fm}
	}
	return &Map{
		Name:   "putler",
		Scores: 5,
		Classes: []Class{
			grid("champions", "Champions", "冠军客户", Range{4, 5}, Range{4, 5}),
			grid("loyal", "Loyal", "忠诚客户", Range{2, 5}, Range{3, 5}),
			grid("potential_loyalist", "Potential Loyalist", "潜在忠诚客户", Range{3, 5}, Range{1, 3}),
			grid("new_customers", "New Customers", "新客户", Range{4, 5}, Range{1, 1}),
			grid("promising", "Promising", "有潜力客户", Range{3, 4}, Range{1, 1}),
			grid("need_attention", "Need Attention", "需要关注客户", Range{2, 3}, Range{2, 3}),
			grid("about_to_sleep", "About To Sleep", "即将沉睡客户", Range{2, 3}, Range{1, 2}),
			grid("at_risk", "At Risk", "流失风险客户", Range{1, 2}, Range{2, 5}),
			grid("cant_lose_them", "Can't Lose Them", "不能失去客户", Range{1, 1}, Range{4, 5}),
			grid("lost", "Lost", "流失客户", Range{1, 2}, Range{1, 2}),
		},
		Other: Class{Key: "others", Name: "Others", Chinese: "其他"},
	}
}

func eight() *Map {
	side := func(key, name, chinese string, r, f, m int32) Class {
		return Class{Key: key, Name: name, Chinese: chinese, R: Range{r + 1, r + 1}, F: Range{f + 1, f + 1}, M: Range{m + 1, m + 1}}
	}
	return &Map{
		Name:   "eight",
		Scores: 2,
		Classes: []Class{
			side("important_value", "Important, value", "重要价值客户", 1, 1, 1),
			side("important_develop", "Important, to develop", "重要发展客户", 1, 0, 1),
			side("important_keep", "Important, to keep", "重要保持客户", 0, 1, 1),
			side("important_retain", "Important, to retain", "重要挽留客户", 0, 0, 1),
			side("general_value", "General, value", "一般价值客户", 1, 1, 0),
			side("general_develop", "General, to develop", "一般发展客户", 1, 0, 0),
			side("general_keep", "General, to keep", "一般保持客户", 0, 1, 0),
			side("general_retain", "General, to retain", "一般挽留客户", 0, 0, 0),
		},
		Other: Class{Key: "unscored", Name: "Not scored", Chinese: "未评分"},
	}
}

// exact125 gives each of the 125 combinations its class one by one, in the list
// that practitioners' tools share; no order of classes matters in it.
func exact125() *Map {
	list := func(key, name, chinese string, codes ...int32) Class {
		return Class{Key: key, Name: name, Chinese: chinese, Codes: codes}
	}
	return &Map{
		Name:   "exact_125",
		Scores: 5,
		Classes: []Class{
			list("champions", "Champions", "冠军客户", 555, 554, 544, 545, 454, 455, 445),
			list("loyal", "Loyal", "忠诚客户", 543, 444, 435, 355, 354, 345, 344, 335),
			list("potential_loyalist", "Potential Loyalist", "潜在忠诚客户", 553, 551, 552, 541, 542, 533, 532, 531, 452, 451, 442, 441,
				431, 453, 433, 432, 423, 353, 352, 351, 342, 341, 333, 323),
			list("new_customers", "New Customers", "新客户", 512, 511, 422, 421, 412, 411, 311),
			list("promising", "Promising", "有潜力客户", 525, 524, 523, 522, 521, 515, 514, 513, 425, 424, 413, 414, 415, 315, 314, 313),
			list("need_attention", "Need Attention", "需要关注客户", 535, 534, 443, 434, 343, 334, 325, 324),
			list("about_to_sleep", "About To Sleep", "即将沉睡客户", 331, 321, 312, 221, 213, 231, 241, 251),
			list("at_risk", "At Risk", "流失风险客户", 255, 254, 245, 244, 253, 252, 243, 242, 235, 234, 225, 224, 153, 152, 145, 143,
				142, 135, 134, 133, 125, 124),
			list("cant_lose_them", "Can't Lose Them", "不能失去客户", 155, 154, 144, 214, 215, 115, 114, 113),
			list("hibernating", "Hibernating", "休眠客户", 332, 322, 233, 232, 223, 222, 132, 123, 122, 212, 211),
			list("lost", "Lost", "流失客户", 111, 112, 121, 131, 141, 151),
		},
		Other: Class{Key: "others", Name: "Others", Chinese: "其他"},
	}
}

// six is a total map on high and low: who came lately by how often and how much,
// who did not by whether anything was ever high.
func six() *Map {
	low, high, any := Range{1, 1}, Range{2, 2}, Range{1, 2}
	return &Map{
		Name:   "six",
		Scores: 2,
		Classes: []Class{
			{Key: "core", Name: "Core", Chinese: "核心客户", R: high, F: high, M: high},
			{Key: "active", Name: "Active", Chinese: "活跃客户", R: high, F: high, M: low},
			{Key: "potential", Name: "Potential", Chinese: "潜力客户", R: high, F: low, M: high},
			{Key: "new", Name: "New", Chinese: "新客户", R: high, F: low, M: low},
			{Key: "lost", Name: "Lost", Chinese: "流失客户", R: low, F: low, M: low},
			{Key: "sleeping", Name: "Sleeping", Chinese: "沉睡客户", R: low, F: any, M: any},
		},
		Other: Class{Key: "unscored", Name: "Not scored", Chinese: "未评分"},
	}
}

// sixThirds has the names of six by thirds: the middle third of recency sleeps,
// the last is lost.
func sixThirds() *Map {
	any, above := Range{1, 3}, Range{2, 3}
	return &Map{
		Name:   "six_thirds",
		Scores: 3,
		Classes: []Class{
			{Key: "core", Name: "Core", Chinese: "核心客户", R: Range{3, 3}, F: above, M: Range{3, 3}},
			{Key: "active", Name: "Active", Chinese: "活跃客户", R: Range{3, 3}, F: above, M: Range{1, 2}},
			{Key: "potential", Name: "Potential", Chinese: "潜力客户", R: Range{3, 3}, F: Range{1, 1}, M: above},
			{Key: "new", Name: "New", Chinese: "新客户", R: Range{3, 3}, F: Range{1, 1}, M: Range{1, 1}},
			{Key: "sleeping", Name: "Sleeping", Chinese: "沉睡客户", R: Range{2, 2}, F: any, M: any},
			{Key: "lost", Name: "Lost", Chinese: "流失客户", R: Range{1, 1}, F: any, M: any},
		},
		Other: Class{Key: "unscored", Name: "Not scored", Chinese: "未评分"},
	}
}
