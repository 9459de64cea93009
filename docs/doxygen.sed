# Turns the headers' plain comments into doxygen's, and takes what looks like markup for text.
/\/\//{
  s#\\#\\\\#g
  :tag
  s#(//.*)<#\1\&lt;#
  t tag
  s#^( *)//( |$)#\1///\2#
  s#([;,{}] +)//( )#\1///\&lt;\2#
  s#///\&lt; #///< #
}
